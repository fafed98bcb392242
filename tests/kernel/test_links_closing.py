"""Links that are interrupted, and files that are not where they seem to be."""

from __future__ import annotations

import ctypes
import gc
import os
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

import pybpfload
from pybpfload._sys import syscall
from pybpfload.errors import BpfError
from pybpfload.links.paths import inside, resolve
from pybpfload.uapi import Cmd
from tests.support.gates import require_tool
from tests.support.needs import needs
from tests.support.objects import only, read
from tests.support.sandbox import bpffs, libc_path

pytestmark = pytest.mark.kernel
LIBC = ctypes.CDLL(None)
SOURCE = b"""
#include <unistd.h>
static __attribute__((noinline)) int twice(int x) { __asm__ volatile(""); return x + 1; }
__attribute__((noinline)) int call_it(int x) { __asm__ volatile(""); return twice(x); }
"""


MAKING = (Cmd.BTF_LOAD, Cmd.MAP_CREATE, Cmd.PROG_LOAD, Cmd.LINK_CREATE)


def link_of(fd: int) -> str:
    """What an open file descriptor refers to; "" when it is closed."""
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return ""


@contextmanager
def child(code, *arguments):
    """A Python that runs some code, says so, and waits until its input ends."""
    command = [sys.executable, "-c", f"import os, sys\n{code}\nprint(flush=True)\nsys.stdin.read()", *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"\n"
        try:
            yield process.pid
        finally:
            process.stdin.close()


def test_interrupted_close_can_be_gone_on_with():
    """What a signal handler raises goes through; the rest is still to be closed."""
    done = []

    def interrupted_once():
        if not done:
            done.append("interrupted")
            raise KeyboardInterrupt

    with only("uprobe", "on_entry") as obj:
        links = pybpfload.LinkSet()
        for undo in (interrupted_once, lambda: done.append("second")):
            links.add(pybpfload.attach_uprobe(obj.programs["on_entry"], libc_path(), "getpgid", pid=0)).also(undo)
        with pytest.raises(KeyboardInterrupt):
            next(iter(links)).close()
        links.close()
        assert done == ["interrupted", "second"]


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_signal_between_a_call_and_its_owner_leaves_nothing(monkeypatch):
    """A signal comes right behind each system call that made something: what lost its owner closes itself."""

    def interrupt(*_):
        raise KeyboardInterrupt

    real, made = syscall.door, []

    def door(number, *arguments):
        result = real(number, *arguments)
        if result >= 0 and number == syscall.numbers().bpf and arguments[0] in MAKING:
            made.append(result)
            if len(made) == step:
                os.kill(os.getpid(), signal.SIGALRM)
        return result

    before = signal.signal(signal.SIGALRM, interrupt)
    monkeypatch.setattr(syscall, "door", door)
    try:
        for number in range(1, 100):
            step = number
            made.clear()
            try:
                with only("uprobe", "on_entry") as obj:
                    pybpfload.attach_uprobe(obj.programs["on_entry"], libc_path(), "getpgid", pid=0).close()
            except KeyboardInterrupt:
                gc.collect()
                assert [fd for fd in made if "bpf" in link_of(fd)] == []
            else:
                break
    finally:
        signal.signal(signal.SIGALRM, before)
    assert step > 3  # BTF, a map, the program


def test_tail_calls_between_probes_load_alike():
    """A SEC(uprobe) of a program array is no program for links to many uprobes."""
    with pybpfload.load(read("tail_probes")) as obj:
        obj.variables["targ_pid"] = os.getpid()
        with pybpfload.attach_uprobe(obj.programs["on_call"], libc_path(), "getpgid", pid=0) as link:
            assert link.kind != "uprobe_multi"
            LIBC.getpgid(0)
        assert obj.variables["jumped"] == 1


@needs("uprobe_multi")
def test_spec_can_keep_a_program_from_multi():
    """Then the other ways are open."""
    spec = read("uprobe")
    for program in spec.programs.values():
        program.multi = False
    with pybpfload.load(spec) as obj:
        program = obj.programs["on_entry"]
        with pybpfload.attach_uprobe(program, libc_path(), "getpgid", pid=0, kind="perf_ioctl") as link:
            assert link.kind == "perf_ioctl"


@needs("bpf_cookie")
@pytest.mark.parametrize("cookie", [-1, 1 << 64])
def test_cookie_that_does_not_fit_is_refused(cookie):
    """It would become another one."""
    with only("uprobe", "on_entry") as obj, pytest.raises(ValueError, match="64 bits"):
        pybpfload.attach_uprobe(obj.programs["on_entry"], libc_path(), "getpgid", pid=0, cookie=cookie)


@needs("iter")
def test_pinned_iterator_is_opened_as_one(tmp_path):
    """It can be read again."""
    with bpffs(tmp_path / "bpf") as pins, only("iterators", "tasks") as obj:
        with pybpfload.attach(obj.programs["tasks"]) as link:
            link.pin(pins / "it")
        with pybpfload.open_link(pins / "it") as again:
            assert again.open().read()
        os.unlink(pins / "it")


def build(path, *options):
    """SOURCE as a library."""
    require_tool("gcc")
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-x", "c", "-", "-o", path, *options], input=SOURCE, check=True)


def test_link_inside_a_root_is_followed_inside(tmp_path):
    """An absolute link of a container begins at the container's root, where the host may have another file."""
    root = tmp_path / "root"
    (root / "opt").mkdir(parents=True)
    build(root / "opt" / "libown.so")
    os.symlink("/opt", root / "bin")
    (root / "deep").mkdir()
    os.symlink("/bin/../bin/libown.so", root / "deep" / "ls")
    os.symlink("/loop", root / "loop")
    code = f"os.chroot({str(root)!r}); os.chdir('/')"
    with child(code) as pid:
        place = f"/proc/{pid}/root"
        assert resolve("/deep/ls", pid) == f"{place}/opt/libown.so"
        assert inside(place, "/../../opt/./libown.so") == f"{place}/opt/libown.so"
        with pytest.raises(OSError, match="Too many levels"):
            resolve("/loop", pid)
        with only("uprobe", "on_entry") as obj:
            with pybpfload.attach_uprobe(obj.programs["on_entry"], "/deep/ls", "call_it", pid=pid):
                pass
            # The host has it, the container has not.
            with pytest.raises(BpfError, match="No such file"):
                pybpfload.attach_uprobe(obj.programs["on_entry"], libc_path(), "getpgid", pid=pid)


def test_library_that_was_replaced_is_found_by_name(tmp_path):
    """What a process still runs is opened through its mapping."""
    library = tmp_path / "libown.so.1"
    build(library)
    with child("import ctypes; ctypes.CDLL(sys.argv[1])", str(library)) as pid:
        os.unlink(library)
        shutil.copy(libc_path(), library)
        assert resolve("libown.so.1", pid).startswith(f"/proc/{pid}/map_files/")
        with only("uprobe", "on_entry") as obj:
            pybpfload.attach_uprobe(obj.programs["on_entry"], "libown", "call_it", pid=pid).close()


def test_pattern_takes_every_function_of_a_name(tmp_path):
    """Static functions of several files may have one name."""
    first, second, library = tmp_path / "a.o", tmp_path / "b.o", tmp_path / "libtwo.so"
    for path, name in ((first, "one"), (second, "two")):
        command = ["gcc", "-c", "-fPIC", "-O1", "-x", "c", "-", "-o", path, f"-Dcall_it={name}"]
        subprocess.run(command, input=SOURCE, check=True)
    subprocess.run(["gcc", "-shared", first, second, "-o", library], check=True)
    with only("uprobes", "multi") as obj:
        link = pybpfload.attach_uprobe_multi(obj.programs["multi"], str(library), "twice*", pid=0)
        count = link.info().details["count"] if link.kind == "uprobe_multi" else len(link._fds or link._held)
        link.close()
    assert count == 2
