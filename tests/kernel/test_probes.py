"""The probes' BPF programs by themselves: their records, against what the test does and knows."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import signal
import struct
import subprocess
import sys
import threading

import pytest

import pybpfload
from tests.support.sources import ROOT

pytestmark = pytest.mark.kernel

MACHINE = {"x86_64": "x86_64", "aarch64": "arm64"}[os.uname().machine]
X86 = pytest.mark.skipif(MACHINE != "x86_64", reason="system calls of x86-64")
SYS_OPEN, SYS_OPENAT, SYS_OPENAT2 = 2, 257 if MACHINE == "x86_64" else 56, 437
AT_FDCWD = -100
libc = ctypes.CDLL(None, use_errno=True)


@contextlib.contextmanager
def probe(name: str, *, pid: int = 0, patterns=(".pem",), directories=()):
    """A probe, attached; gives a function that reads its records of one kind as they are."""
    spec = pybpfload.read_object(ROOT / "bpf" / "objects" / MACHINE / f"{name}_trace.bpf.o")
    spec.variables["targ_tgid"] = pid
    with pybpfload.load(spec) as obj:
        if name == "file_open":
            for text in patterns:
                obj.maps["patterns"][{"text": text}] = 1
            for text in directories:
                obj.maps["directories"][{"prefixlen": 8 * len(text), "path": text}] = 1
        layout = spec.records["events"].member(name)
        with obj.attach_all(), pybpfload.RingReader(obj.maps["events"], decode=layout.decode) as ring:

            def records():
                found = []
                while batch := ring.poll(0.05):
                    found += batch
                return found

            yield records, ring, obj


def asked(record) -> bytes:
    """The name that the caller gave."""
    return record.strings.partition(b"\0")[0]


@pytest.fixture
def opens():
    """file_open, for this process."""
    with probe("file_open", pid=os.getpid(), directories=("/etc/ssl/",)) as parts:
        yield parts


def call(number: int, *arguments) -> int:
    """A raw system call: the value, or minus the errno."""
    done = libc.syscall(ctypes.c_long(number), *arguments)
    return done if done >= 0 else -ctypes.get_errno()


def how(flags: int) -> ctypes.Array:
    """Struct open_how."""
    return ctypes.create_string_buffer(struct.pack("<QQQ", flags, 0, 0), 24)


@pytest.mark.parametrize("kind", [pytest.param("open", marks=X86), "openat", "openat2"])
def test_open_each_system_call_has_name_flags_and_result(opens, tmp_path, kind):
    """open, openat and openat2, once with a file and once without."""
    records, _, _ = opens
    there, gone = str(tmp_path / "there.pem"), str(tmp_path / "gone.pem")
    (tmp_path / "there.pem").touch()
    records()
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
    wanted = []
    for path in (there, gone):
        name = ctypes.c_char_p(path.encode())
        if kind == "open":
            done = call(SYS_OPEN, name, ctypes.c_long(flags), ctypes.c_long(0))
        elif kind == "openat":
            done = call(SYS_OPENAT, ctypes.c_long(AT_FDCWD), name, ctypes.c_long(flags), ctypes.c_long(0))
        else:
            done = call(SYS_OPENAT2, ctypes.c_long(AT_FDCWD), name, how(flags), ctypes.c_long(24))
        wanted.append((path.encode(), flags, done))
        if done >= 0:
            os.close(done)
    assert wanted[0][2] >= 0
    assert wanted[1][2] == -2
    assert [(asked(r), r.flags, r.result) for r in records()] == wanted


def test_open_header_tells_pid_tid_uid_and_gid_apart(tmp_path):
    """Each from another number: a thread of a child with a user and a group that differ."""
    code = """
import os, sys, threading
os.setgid(65533); os.setuid(65532)
sys.stdin.readline()
def work():
    print(os.getpid(), threading.get_native_id(), os.getppid(), flush=True)
    try: os.open("/nowhere/x.pem", os.O_RDONLY)
    except OSError: pass
thread = threading.Thread(target=work); thread.start(); thread.join()
"""
    with (
        subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as child,
        probe("file_open", pid=child.pid) as (records, _, _),
    ):
        told = [int(n) for n in child.communicate("\n")[0].split()]
        (record,) = records()
    assert [record.pid, record.tid, record.ppid] == told
    assert record.pid != record.tid
    assert (record.uid, record.gid) == (65532, 65533)
    assert record.start_time < record.time


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("x.pem", True), ("X.PEM", True), (".pem", True), ("pem", False), ("x.pem.bak", False), ("x.pemx", False),
        ("/etc/ssl/nosuch", True), ("/etc/sslx/nosuch", False), ("/etc/ssl", False), ("a.pem/b", False),
    ],
)  # fmt: skip
def test_open_filter_in_the_kernel_sends_only_what_is_wanted(opens, name, sent):
    """What no rule wants never reaches the ring buffer: not one byte of it."""
    records, ring, _ = opens
    with contextlib.suppress(OSError):
        os.close(os.open(name, os.O_RDONLY))
    assert bool(ring.pending) == sent
    assert [asked(r) for r in records()] == ([name.encode()] if sent else [])


def test_open_of_another_process_is_not_sent(opens):
    """targ_tgid is looked at in the kernel."""
    _, ring, _ = opens
    subprocess.run(["cat", "/nowhere/x.pem"], stderr=subprocess.DEVNULL, check=False)
    assert ring.pending == 0


@X86
def test_open_by_a_32_bit_call_is_not_taken_for_another(opens):
    """Int 0x80 has numbers of its own: 257 there is no openat, whatever its registers point to."""
    _, ring, _ = opens
    page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    anchor = ctypes.c_char.from_buffer(page)
    address = ctypes.addressof(anchor)
    name = struct.pack("<Q", address + 64)
    # push rbx; push rsi; movabs rsi, NAME; mov eax, 257; xor ebx, ebx; int 0x80; pop rsi; pop rbx; ret
    page.write(bytes.fromhex("535648be") + name + bytes.fromhex("b80101000031dbcd805e5bc3"))
    page[64:72] = b"/x.pem\0\0"
    ctypes.CFUNCTYPE(ctypes.c_long)(address)()
    assert ring.pending == 0


@pytest.fixture
def exits():
    """process_exit, of everybody: the test looks for its own."""
    with probe("process_exit") as (records, _, _):
        yield lambda pid: [r for r in records() if r.pid == pid]


def run(code: str, **options) -> subprocess.Popen:
    """A Python child, to its end."""
    child = subprocess.Popen([sys.executable, "-c", code], **options)
    child.wait()
    return child


@pytest.mark.parametrize("code", [0, 1, 42, 255])
def test_exit_code_is_what_wait_says(exits, code):
    """The code, no signal."""
    child = run(f"import os; os._exit({code})")
    (record,) = exits(child.pid)
    assert (record.exit_code, record.signal, record.core_dumped) == (child.returncode, 0, 0)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGUSR1])
def test_exit_by_signal_is_what_wait_says(exits, number):
    """The signal, no code."""
    child = run(f"import os; os.kill(os.getpid(), {int(number)}); import time; time.sleep(9)")
    (record,) = exits(child.pid)
    assert (record.exit_code, record.signal) == (0, -child.returncode)


def test_exit_with_a_core_dump_says_so(exits, tmp_path):
    """As WCOREDUMP does."""
    code = "import os, resource, sys; os.chdir(sys.argv[1]); "
    code += "resource.setrlimit(resource.RLIMIT_CORE, (1 << 20, 1 << 20)); os.abort()"
    pid = os.posix_spawn(sys.executable, [sys.executable, "-c", code, str(tmp_path)], os.environ)
    _, status = os.waitpid(pid, 0)
    (record,) = exits(pid)
    assert record.signal == signal.SIGABRT
    assert bool(record.core_dumped) == os.WCOREDUMP(status)


def test_exit_of_many_threads_is_one_event_with_the_codes_of_the_process(exits):
    """The first thread ends early, another one decides: one event, and exit_group's code."""
    code = """
import ctypes, os, threading, time
def last():
    time.sleep(0.05)
    os._exit(7)
for _ in range(7):
    threading.Thread(target=time.sleep, args=(0.01,)).start()
threading.Thread(target=last).start()
ctypes.CDLL(None).syscall(60 if os.uname().machine == "x86_64" else 93, 3)
"""
    child = run(code)
    assert child.returncode == 7
    (record,) = exits(child.pid)
    assert (record.exit_code, record.signal) == (7, 0)


def test_exit_of_a_thread_alone_is_no_event(exits):
    """Only the process counts."""
    thread = threading.Thread(target=lambda: None)
    thread.start()
    thread.join()
    assert exits(os.getpid()) == []


@pytest.mark.parametrize("size", [10, 256, 4095, 4096, 4097, 50000])
def test_exec_has_path_and_the_first_4096_bytes_of_its_arguments(size):
    """argv_size tells how much there was."""
    arguments = ["true", "x" * (size - 6)]
    with probe("process_exec") as (records, _, _):
        child = subprocess.Popen(arguments, executable="/bin/true")
        child.wait()
        (record,) = [r for r in records() if r.pid == child.pid]
    raw = b"\0".join(a.encode() for a in arguments) + b"\0"
    assert record.argv_size == len(raw) == size
    assert record.strings_size == len(b"/bin/true\0") + min(size, 4096)
    assert record.strings == (b"/bin/true\0" + raw[:4096]).rstrip(b"\0")
    assert record.ppid == os.getpid()
    assert record.comm == b"true"


def test_unreadable_name_is_counted(opens):
    """A pointer to nowhere fails with EFAULT and is no open; one that cannot be read at the end is counted."""
    records, _, obj = opens
    assert call(SYS_OPENAT, ctypes.c_long(AT_FDCWD), ctypes.c_void_p(8), ctypes.c_long(0), ctypes.c_long(0)) == -14
    assert records() == []
    assert [tuple(counts) for counts in obj.maps["counters"][1] if any(counts)] == []


@pytest.mark.parametrize(("length", "unread"), [(4095, 0), (4096, 1), (9000, 1)])
def test_open_name_that_is_too_long_is_an_event_or_counted(opens, length, unread):
    """The kernel refuses all; of the longer ones nobody can tell how they end, not even if they are cut behind .pem."""
    records, _, obj = opens
    name = (b"x" * 4091 + b".pem" + b"y" * length)[:length]
    assert call(SYS_OPENAT, ctypes.c_long(AT_FDCWD), ctypes.c_char_p(name), ctypes.c_long(0), ctypes.c_long(0)) == -36
    assert [asked(record) for record in records()] == ([] if unread else [name])
    assert sum(each.unread for each in obj.maps["counters"][1]) == unread
