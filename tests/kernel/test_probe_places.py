"""Where opened files and mapped libraries lie: what the kernel's programs say, against /proc and stat."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import struct
import subprocess
import sys

import pytest

import pybpfload
from tests.support.sources import ROOT
from tracer.clock import BootClock
from tracer.decode import Decoder
from tracer.probes.file_open import FILE_OPEN
from tracer.probes.lib_load import LIB_LOAD
from tracer.probes.process_fork import PROCESS_FORK

pytestmark = pytest.mark.kernel

MACHINE = {"x86_64": "x86_64", "aarch64": "arm64"}[os.uname().machine]
X86 = pytest.mark.skipif(MACHINE != "x86_64", reason="system calls of x86-64")
SYS_CREAT = 85
SYS_OPENAT = 257 if MACHINE == "x86_64" else 56
SYS_NAME_TO_HANDLE, SYS_OPEN_BY_HANDLE = (303, 304) if MACHINE == "x86_64" else (264, 265)
AT_FDCWD = -100
libc = ctypes.CDLL(None, use_errno=True)


@contextlib.contextmanager
def probe(which, pid: int):
    """A probe with its tables, for one process; gives a function that reads the events so far."""
    spec = pybpfload.read_object(ROOT / "bpf" / "objects" / MACHINE / f"{which.object_name}.bpf.o")
    spec.variables["targ_tgid"] = pid
    with pybpfload.load(spec) as obj:
        which.targets(obj.maps)
        decode = Decoder(spec.records["events"], spec.btf, BootClock())
        with obj.attach_all(), pybpfload.RingReader(obj.maps["events"], decode=decode) as ring:

            def events():
                found = []
                while batch := ring.poll(0.05):
                    found += batch
                return [event.fields for event in found]

            yield events


@pytest.fixture
def opens():
    with probe(FILE_OPEN, os.getpid()) as events:
        yield events


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current directory, with a key and a link to it."""
    (tmp_path / "real").mkdir()
    key = tmp_path / "real" / "server.key"
    key.touch(mode=0o600)
    (tmp_path / "link.key").symlink_to("real/server.key")
    (tmp_path / "elsewhere").symlink_to("real")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def open_and_look(name, directory=None):
    """Opens a file: its path as /proc says, and what stat says."""
    fd = os.open(name, os.O_RDONLY, dir_fd=directory)
    try:
        return os.readlink(f"/proc/self/fd/{fd}"), os.fstat(fd)
    finally:
        os.close(fd)


@pytest.mark.parametrize(
    "name",
    ["{}/real/server.key", "real/server.key", "./elsewhere/../real//server.key", "link.key", "elsewhere/server.key"],
)
def test_opened_file_has_the_path_that_proc_says(folder, opens, name):
    """Relative names, links to files and directories, dots: always one path."""
    name = name.format(folder)
    path, status = open_and_look(name)
    (event,) = opens()
    assert event["path"] == name
    assert event["file_path"] == path == str(folder / "real/server.key")
    assert (event["inode"], event["mode"]) == (status.st_ino, status.st_mode)
    assert event["device"] == f"{os.major(status.st_dev)}:{os.minor(status.st_dev)}"


def test_opened_file_relative_to_a_directory(folder, opens):
    """Of openat(2)."""
    directory = os.open("real", os.O_RDONLY | os.O_DIRECTORY)
    path, _ = open_and_look("server.key", directory)
    with contextlib.suppress(FileNotFoundError):
        os.open("gone.key", os.O_RDONLY, dir_fd=directory)
    os.close(directory)
    found, missing = opens()
    assert found["file_path"] == path
    assert (missing["result"], missing["file_path"]) == (2, str(folder / "real/gone.key"))
    assert (missing["inode"], missing["device"], missing["mode"]) == (0, "", 0)


@pytest.mark.parametrize("name", ["gone.key", "elsewhere/gone.key", "/nowhere/gone.key", "link.key/x.key"])
def test_failed_open_keeps_the_name_and_says_where_it_looked(folder, opens, name):
    """Nothing is resolved, since there is nothing; the directory is known all the same."""
    with pytest.raises(OSError, match="Errno"):
        os.open(name, os.O_RDONLY)
    (event,) = opens()
    assert (event["path"], event["file_path"]) == (name, os.path.join(str(folder), name))
    assert event["result"] in {2, 20}


def test_failed_open_relative_to_no_directory_has_no_path(opens):
    """EBADF: there is nothing that the name is relative to."""
    with pytest.raises(OSError, match="Errno"):
        os.open("x.key", os.O_RDONLY, dir_fd=9999)
    (event,) = opens()
    assert (event["result"], event["path"], event["file_path"]) == (9, "x.key", None)


def test_opened_file_below_mount_points_has_the_whole_path(opens):
    """A file system in another: /proc and what is mounted below /sys or /dev."""
    directory = "/dev/shm" if os.path.ismount("/dev/shm") else "/dev"
    name = os.path.join(directory, f"crypto-tracer-{os.getpid()}.pem")
    os.close(os.open(name, os.O_RDONLY | os.O_CREAT | os.O_EXCL))
    try:
        path, _ = open_and_look(name)
    finally:
        os.unlink(name)
    assert [event["file_path"] for event in opens()] == [name, path]


def test_opened_file_in_another_root_has_the_path_of_its_process(tmp_path):
    """What the process itself would call it: as in a container."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "x.pem").touch()
    code = (
        "import os, sys; sys.stdin.read(1); os.chroot(sys.argv[1]); os.chdir('/etc'); os.open('x.pem', 0); "
        "os.open('/etc/x.pem', 0)"
    )
    with (
        subprocess.Popen([sys.executable, "-I", "-S", "-c", code, str(tmp_path)], stdin=subprocess.PIPE) as child,
        probe(FILE_OPEN, child.pid) as events,
    ):
        child.communicate(b"\n")
        assert [event["file_path"] for event in events()] == ["/etc/x.pem", "/etc/x.pem"]


def test_opened_file_deep_down(opens, tmp_path, monkeypatch):
    """Thirty directories are followed; a hundred are not, and that is said."""
    monkeypatch.chdir(tmp_path)
    for depth in range(1, 101):
        os.mkdir("d" * 200)
        os.chdir("d" * 200)
        if depth in {10, 100}:
            os.close(os.open("x.pem", os.O_RDONLY | os.O_CREAT))
    events = opens()
    assert [event["path"] for event in events] == ["x.pem", "x.pem"]
    assert events[0]["file_path"] == str(tmp_path) + "/" + "/".join(["d" * 200] * 10) + "/x.pem"
    assert events[1]["file_path"] is None


def call(number, *arguments):
    done = libc.syscall(ctypes.c_long(number), *arguments)
    return done if done >= 0 else -ctypes.get_errno()


@X86
def test_creat_is_an_open(folder, opens):
    """The oldest of the calls."""
    fd = call(SYS_CREAT, b"new.pem", ctypes.c_long(0o640))
    assert fd >= 0
    os.close(fd)
    assert call(SYS_CREAT, b"/nowhere/new.pem", ctypes.c_long(0o640)) == -2
    made, failed = opens()
    assert (made["path"], made["file_path"]) == ("new.pem", str(folder / "new.pem"))
    assert made["flags"] == failed["flags"] == "O_WRONLY|O_CREAT|O_TRUNC"
    assert made["mode"] == os.stat("new.pem").st_mode
    assert failed["result"] == 2


def test_open_by_handle_has_the_path_of_its_file(folder, opens):
    """No name is given; the file has one."""
    handle = ctypes.create_string_buffer(struct.pack("<Ii", 128, 0), 136)
    mount = ctypes.c_int()
    name = str(folder / "real/server.key").encode()
    done = call(SYS_NAME_TO_HANDLE, ctypes.c_long(AT_FDCWD), name, handle, ctypes.byref(mount), ctypes.c_long(0))
    assert done == 0
    directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    fd = call(SYS_OPEN_BY_HANDLE, ctypes.c_long(directory), handle, ctypes.c_long(os.O_RDONLY))
    os.close(directory)
    assert fd >= 0
    os.close(fd)
    (event,) = opens()
    assert event["path"] == event["file_path"] == name.decode()
    assert event["inode"] == os.stat(name).st_ino


def map_file(path, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_EXEC):
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 4096, flags, prot):
        return os.fstat(file.fileno())


@pytest.fixture
def loads():
    with probe(LIB_LOAD, os.getpid()) as events:
        yield events


def library(folder, name):
    path = folder / name
    path.write_bytes(b"\x7fELF" + bytes(4092))
    return path


def test_executable_mapping_of_a_library_is_seen(loads, tmp_path):
    """Path, file, address; a mapping of data is none, and neither is another file."""
    path = library(tmp_path, "libssl.so.9")
    map_file(path, prot=mmap.PROT_READ)
    map_file(library(tmp_path, "libother.so.1"))
    status = map_file(path)
    (event,) = loads()
    assert event["path"] == str(path)
    assert (event["inode"], event["mode"], event["deleted"]) == (status.st_ino, status.st_mode, 0)
    assert event["address"] % mmap.PAGESIZE == 0
    assert event["address"] > 0


def test_executable_mapping_of_a_deleted_library_is_seen(loads, tmp_path):
    """It has a name no more, and had one."""
    path = library(tmp_path, "libcrypto.so.9")
    with path.open("rb") as file:
        path.unlink()
        mmap.mmap(file.fileno(), 4096, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_EXEC).close()
    (event,) = loads()
    assert (event["path"], event["deleted"]) == (str(path), 1)


def test_executable_mapping_of_memory_with_the_name_of_a_library_is_seen(loads):
    """memfd_create(2): as some programs load what they carry."""
    fd = os.memfd_create("libsodium.so.23")
    os.ftruncate(fd, 4096)
    mmap.mmap(fd, 4096, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_EXEC).close()
    os.close(fd)
    (event,) = loads()
    assert event["path"] == "/memfd:libsodium.so.23"


def test_executable_memory_without_a_file_is_no_library(loads, tmp_path):
    """MAP_ANONYMOUS: the descriptor means nothing then."""
    path = library(tmp_path, "libssl.so.9")
    with path.open("rb") as file:
        address = ctypes.c_long(0), ctypes.c_long(4096), ctypes.c_long(5), ctypes.c_long(0x22)
        assert call(9 if MACHINE == "x86_64" else 222, *address, ctypes.c_long(file.fileno()), ctypes.c_long(0))
    assert loads() == []


def test_failed_mapping_is_no_library(loads, tmp_path):
    """A directory has no code."""
    (tmp_path / "libssl.so.9").mkdir()
    fd = os.open(tmp_path / "libssl.so.9", os.O_RDONLY)
    with pytest.raises(OSError, match="Errno"):
        mmap.mmap(fd, 4096, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_EXEC)
    os.close(fd)
    assert loads() == []


@X86
def test_executable_mapping_by_a_32_bit_call_is_seen(loads, tmp_path):
    """mmap2() of int 0x80, as the loader of 32-bit programs calls it."""
    path = library(tmp_path, "libgnutls.so.9")
    low = 0x10000000
    code = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    anchor = ctypes.c_char.from_buffer(code)
    with path.open("rb") as file:
        # push rbx; push rbp; mov eax,192; mov ebx,LOW; mov ecx,4096; mov edx,5; mov esi,0x12; mov edi,FD; xor ebp,ebp
        # int 0x80; pop rbp; pop rbx; ret
        text = bytes.fromhex("5355b8c0000000bb") + struct.pack("<I", low) + bytes.fromhex("b900100000ba05000000")
        text += bytes.fromhex("be12000000bf")
        text += struct.pack("<I", file.fileno()) + bytes.fromhex("31edcd805d5bc3")
        code.write(text)
        done = ctypes.CFUNCTYPE(ctypes.c_long)(ctypes.addressof(anchor))()
    assert done == low
    libc.munmap(ctypes.c_void_p(low), ctypes.c_size_t(4096))
    (event,) = loads()
    assert (event["path"], event["address"]) == (str(path), low)


def test_dlopen_is_what_the_maps_of_the_process_say():
    """Real libraries and what they need: each once, as /proc/PID/maps has them while it runs."""
    code = """
import ctypes, sys
sys.stdin.readline()
ctypes.CDLL("libssl.so.3")
ctypes.CDLL("libgnutls.so.30")
print(open("/proc/self/maps").read())
"""
    with (
        subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as child,
        probe(LIB_LOAD, child.pid) as events,
    ):
        text = child.communicate("\n")[0]
        seen = events()
    lines = [line.split(None, 5) for line in text.splitlines() if " r-xp " in line]
    mapped = {(parts[5], int(parts[4])) for parts in lines if len(parts) == 6}
    ours = {(event["path"], event["inode"]) for event in seen}
    assert ours <= mapped
    assert {os.path.basename(path).partition(".so")[0] for path, _ in ours} >= {"libssl", "libcrypto", "libgnutls"}
    assert len(ours) == len(seen)


def test_fork_tells_the_child_and_when_it_started():
    """Children of threads too; a thread is no child."""
    code = """
import os, sys, threading
sys.stdin.readline()
pids = []
def fork():
    pid = os.fork()
    if not pid:
        os._exit(0)
    pids.append(pid)
fork()
thread = threading.Thread(target=fork)
thread.start()
thread.join()
print(*pids, *(open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[19] for pid in pids))
"""
    with (
        subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as child,
        probe(PROCESS_FORK, child.pid) as events,
    ):
        told = [int(number) for number in child.communicate("\n")[0].split()]
        seen = events()
    per_tick = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
    assert [event["child"] for event in seen] == told[:2]
    assert [event["child_start_time"] // per_tick for event in seen] == told[2:]
    assert {event["pid"] for event in seen} == {child.pid}
