"""The probes of library functions: room for files, and what a process leaves behind that is killed."""

from __future__ import annotations

import io
import os
import shutil
import signal
import socket
import subprocess
import sys

import pytest

from tests.support.workloads import DEADLINE_S, wait_until
from tracer.log import DETAILS, Log
from tracer.manager import EbpfManager
from tracer.probes import attacher
from tracer.probes.openssl_api import OPENSSL_API
from tracer.proc import copies, maps
from tracer.settings import Settings

pytestmark = pytest.mark.kernel

MAPS_LIBRARY = "import ctypes, sys; ctypes.CDLL(sys.argv[1]); print('mapped', flush=True); sys.stdin.read()"


@pytest.fixture
def alone(monkeypatch):
    """The probe, with nothing attached at first; its state, and what it logged."""
    monkeypatch.setattr(copies, "mapped", lambda: iter(()))
    monkeypatch.setattr(copies, "installed", lambda: iter(()))
    log = io.StringIO()
    with EbpfManager.create([OPENSSL_API], Settings(own_pid=0), Log(DETAILS, log)) as manager:
        manager.load_programs()
        manager.attach_programs()
        (loaded,) = manager._loaded
        yield loaded.context, log


@pytest.fixture(scope="module")
def library():
    """A real one of this host."""
    for mapping in map_of(sys.executable, "import ssl"):
        if "libssl.so" in mapping.path:
            return mapping.path
    pytest.skip("this Python has no libssl")
    return ""


def map_of(python, code):
    command = [python, "-c", f"{code}; print(flush=True); import sys; sys.stdin.read()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        found = maps.executable_mappings(process.pid)
        process.communicate()
    return found


def mapping(path):
    """A process that maps the library."""
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", MAPS_LIBRARY, str(path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout.readline() == "mapped\n"
    return process


def test_files_that_nobody_maps_make_room_for_others(alone, library, tmp_path, monkeypatch):
    """Two copies at most: a third one waits until one of them is unused, and then its number is not used at once."""
    context, log = alone
    places = context.state.attacher
    # libcrypto comes with each, and is one file
    monkeypatch.setattr(attacher, "MAX_FILES", 3)
    monkeypatch.setattr(attacher, "SWEEP_S", 0.0)
    processes = []
    try:
        for number in range(3):
            path = tmp_path / f"{number}" / "libssl.so.3"
            path.parent.mkdir()
            shutil.copy(library, path)
            processes.append(mapping(path))
            places.look_at_process(processes[-1].pid)
        attached = [path for path in places.paths.values() if path.startswith(str(tmp_path))]
        assert attached == [f"{tmp_path}/0/libssl.so.3", f"{tmp_path}/1/libssl.so.3"]
        assert "is not watched" in log.getvalue()
        links, entries = len(context.links), len(context.obj.maps["code_around"])
        processes[0].communicate()
        places.look_at_process(processes[2].pid)
        assert f"{tmp_path}/2/libssl.so.3" in places.paths.values()
        assert (len(context.links), len(context.obj.maps["code_around"])) == (links, entries)
        assert len(set(places.paths)) == 4
    finally:
        for process in processes:
            process.communicate()


def fields_of(pid, path):
    """What an event of a library has of its file."""
    found = path.stat()
    device = f"{os.major(found.st_dev)}:{os.minor(found.st_dev)}"
    return {"pid": pid, "path": str(path), "inode": found.st_ino, "device": device, "deleted": 0}


def test_file_with_the_number_of_one_that_is_gone_is_new(alone, library, tmp_path):
    """An update: a file goes, and another one gets its inode number. What is known of the first is not of that."""
    context, _ = alone
    places = context.state.attacher
    path = tmp_path / "libssl.so.3"
    path.write_bytes(b"no library")
    fields = fields_of(os.getpid(), path)
    places.notice(fields)
    shutil.copyfile(library, path)  # the same number, another content: what reuse looks like
    with mapping(path) as process:
        places.notice(fields_of(process.pid, path))
        assert str(path) in places.paths.values()
        process.communicate()


def test_process_that_is_killed_within_a_handshake_leaves_nothing(alone, library):
    """The count of threads in handshakes, which the program for system calls looks at, is 0 again."""
    context, _ = alone
    code = """
import socket, ssl, sys
print(flush=True); sys.stdin.readline()
context = ssl.create_default_context()
context.wrap_socket(socket.create_connection(("127.0.0.1", int(sys.argv[1]))), server_hostname="localhost")
"""
    shaking = context.obj.maps["shaking"]
    count = lambda: context.obj.variables["shaking_count"]  # noqa: E731
    with socket.create_server(("127.0.0.1", 0)) as silent:
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(silent.getsockname()[1])], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        process.stdout.readline()
        context.state.attacher.look_at_process(process.pid)
        process.stdin.write(b"\n")
        process.stdin.flush()
        wait_until(lambda: count() == 1, "the handshake")
        assert [thread >> 32 for thread in shaking] == [process.pid]
        process.send_signal(signal.SIGKILL)
        process.wait(DEADLINE_S)
        process.stdout.close()
        process.stdin.close()
        wait_until(lambda: count() == 0, "its end")
    assert len(shaking) == 0
    assert library
