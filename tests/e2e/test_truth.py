"""Real programs: what strace says that they did is what comes out, no more and no less.

Each program runs under strace, which writes down its opens, its executable mappings, its execs and its exits. Of
these, what the catalog knows must be what the tracer told, in the same order.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess

import pytest

from tests.support.gates import require_tool
from tests.support.truth import compare, watch
from tests.support.workloads import Tracer, of_kind, wait_until

pytestmark = pytest.mark.kernel


@pytest.fixture
def key(tmp_path):
    path = tmp_path / "server.key"
    generate = [require_tool("openssl"), "genpkey", "-algorithm", "ed25519", "-out", str(path)]
    subprocess.run(generate, check=True, capture_output=True)
    return path


PROGRAMS = {
    "openssl-pkey": "openssl pkey -in server.key -noout",
    "openssl-missing": "openssl x509 -in missing.pem -noout",
    "openssl-legacy": "openssl list -providers -provider legacy",
    "curl": "curl -s --cacert missing.pem https://127.0.0.1:9/",
    "curl-relative": "curl -s --cert server.key https://127.0.0.1:9/",
    "wget": "wget -q -O /dev/null https://127.0.0.1:9/",
    "gnutls-cli": "gnutls-cli --x509cafile server.key -p 9 127.0.0.1",
    "ssh-keygen": "ssh-keygen -q -t ed25519 -N x -f id_ed25519",
    "git": "git ls-remote https://127.0.0.1:9/x.git",
    "python": "python3 -I -c 'import ssl; ssl.create_default_context()'",
    "shell": "sh -c 'cat server.key missing.pem ./server.key; exit 3'",
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_program_does_what_strace_says(tmp_path, key, name):
    """Opens with errno, libraries, arguments, exit codes: of all its processes."""
    command = shlex.split(PROGRAMS[name])
    command[0] = "/usr/bin/python3" if command[0] == "python3" else require_tool(command[0])
    truth, events = watch(tmp_path, command, cwd=tmp_path)
    assert truth.execs
    compare(truth, events)
    if name not in {"shell", "ssh-keygen"}:
        assert truth.libraries
    for event in of_kind(events, "file_open"):
        if event["file"].endswith("server.key"):
            assert (event["file_path"], event["mode"]) == (str(key), "0600")


def maps_of(pid):
    with open(f"/proc/{pid}/maps") as file:
        return file.read()


def build(compiler, tmp_path, name, source, *options):
    path = tmp_path / name
    (tmp_path / f"{name}.c").write_text(source)
    subprocess.run([compiler, "-o", str(path), str(tmp_path / f"{name}.c"), *options], check=True)
    return path


OPENER = """
#include <dlfcn.h>
#include <stdio.h>
int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (!dlopen(argv[i], RTLD_NOW))
			puts(argv[i]);
	return 0;
}
"""


@pytest.mark.parametrize("compiler", ["gcc", "musl-gcc"])
def test_dlopen_and_link_time_by_either_c_library(tmp_path, compiler):
    """A library that the program is linked with, one that it opens, one that is not there: glibc and musl."""
    compiler = require_tool(compiler)
    options = ("-shared", "-fPIC", "-Wl,--build-id=sha1")
    linked = build(compiler, tmp_path, "libtls.so.7", "int number(void) { return 7; }", *options)
    opened = build(compiler, tmp_path, "libsodium.so.77", "int more(void) { return 8; }", *options)
    program = build(
        compiler, tmp_path, "program", OPENER, "-Wl,--no-as-needed", str(linked), f"-Wl,-rpath,{tmp_path}", "-ldl"
    )
    command = [str(program), str(opened), "libgnutls.so.99", "libnotours.so"]
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL), Tracer("--no-redact") as tracer:
        # The first run shows the tracer a C library that it may not have seen; the second is what counts.
        subprocess.run(["env", "sleep", "0"], check=True)
        keeper = subprocess.Popen([str(program), str(opened)], stdout=subprocess.DEVNULL)
        keeper.wait()
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        process.communicate()
        assert tracer.stop() == 130
        events = tracer.events(process.pid)
    loads = {event["library"]: event for event in of_kind(events, "lib_load")}
    assert set(loads) == {str(linked), str(opened)}
    for path, event in loads.items():
        notes = subprocess.run([require_tool("readelf"), "-n", path], capture_output=True, text=True, check=True).stdout
        assert event["build_id"] == re.search(r"Build ID: ([0-9a-f]+)", notes)[1]
        assert (event["inode"], event["deleted"]) == (os.stat(path).st_ino, False)
    if os.path.basename(compiler) == "gcc":
        asked = [(event["library"], event["result"]) for event in of_kind(events, "lib_open")]
        assert asked == [(str(opened), 0), ("libgnutls.so.99", 1)]


def test_dlopen_of_musl_is_seen_once_its_c_library_runs(tmp_path):
    """The loader of musl is its C library: a process that runs when tracing begins shows it."""
    compiler = require_tool("musl-gcc")
    source = OPENER.replace("\tfor", "\tgetchar();\n\tfor", 1)
    program = build(compiler, tmp_path, "program", source)
    command = [str(program), "libcrypto.so.99", "libnotours.so"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        wait_until(lambda: "musl" in maps_of(process.pid), "the loader")
        with Tracer("--no-redact") as tracer:
            process.communicate(b"\n")
            assert tracer.stop() == 130
            events = tracer.events(process.pid)
    assert [(event["library"], event["result"]) for event in of_kind(events, "lib_open")] == [("libcrypto.so.99", 1)]


def test_deleted_library_is_seen_with_its_build_id(tmp_path):
    """An update replaced it, and somebody still maps what is left."""
    compiler = require_tool("gcc")
    library = build(
        compiler, tmp_path, "libssl.so.9", "int x;", "-shared", "-fPIC", "-Wl,--build-id=0x0123456789abcdef"
    )
    program = build(compiler, tmp_path, "program", OPENER.replace("return 0;", "getchar(); return 0;"), "-ldl")
    with library.open("rb") as file, Tracer("--no-redact") as tracer:
        library.unlink()
        name = f"/proc/self/fd/{file.fileno()}"
        process = subprocess.Popen(
            [str(program), name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[file.fileno()]
        )
        with process:
            wait_until(lambda: "libssl" in maps_of(process.pid), "the library")
            wait_until(lambda: of_kind(tracer.events(process.pid), "lib_load"), "its event")
            process.communicate(b"\n")
        assert tracer.stop() == 130
        (event,) = of_kind(tracer.events(process.pid), "lib_load")
    assert (event["library"], event["deleted"], event["build_id"]) == (str(library), True, "0123456789abcdef")


def test_process_in_the_control_group_of_a_container_says_so():
    """The id, from its first event to its last; children too."""
    root = next(
        (path for path in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified") if os.path.exists(f"{path}/cgroup.procs")), ""
    )
    if not os.access(f"{root}/cgroup.procs", os.W_OK):
        pytest.skip("no cgroup v2 to write to")
    number = f"{os.getpid():064x}"
    group = f"{root}/docker-{number}.scope"
    os.mkdir(group)
    try:
        with Tracer("--no-redact") as tracer:
            code = f"echo $$ > {group}/cgroup.procs; sh -c 'cat /nowhere/x.pem; true'; exec sleep 0.05"
            process = subprocess.Popen(["sh", "-c", code], stderr=subprocess.DEVNULL)
            process.wait()
            assert tracer.stop() == 130
            events = tracer.events()
        inside = [event for event in events if event["cgroup"] == os.stat(group).st_ino]
        assert {event["event_type"] for event in inside} == {"process_exec", "process_exit", "file_open"}
        assert {event["container"] for event in inside} == {number}
        assert {event["container"] for event in events if event["pid"] == os.getpid()} <= {None}
    finally:
        os.rmdir(group)
