"""USDT probes of programs built for it, and of a real one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import pybpfload
from pybpfload import features
from pybpfload.errors import AttachError
from tests.support.gates import require_tool
from tests.support.needs import need, needs
from tests.support.objects import only, read

pytestmark = pytest.mark.kernel
COOKIE = 0xC00C1E

NOTE = r"""
#define NOTE(name, sem, args) \
  "990: nop\n.pushsection .note.stapsdt,\"?\",\"note\"\n.balign 4\n.4byte 992f-991f,994f-993f,3\n" \
  "991: .asciz \"stapsdt\"\n992: .balign 4\n993: .8byte 990b\n.8byte 0\n.8byte " sem "\n" \
  ".asciz \"app\"\n.asciz \"" name "\"\n.asciz \"" args "\"\n994: .balign 4\n.popsection\n"
"""
PROGRAM = (
    NOTE
    + r"""
#include <stdio.h>
volatile unsigned short app_sem __attribute__((section(".probes"), used));
long memory[4] __attribute__((visibility("hidden"))) = {7, -8, 9, 10};
/* Each argument in a place that is known. */
__asm__(".text\nhit:\npush %rbx\npush %r12\npush %r13\npush %r14\npush %r15\n"
        "mov %rdi, %rbx\nmovslq %esi, %r12\nmovzbl %dl, %r13d\nlea memory(%rip), %r14\nmov $2, %r15d\n"
        NOTE("hit", "0", "8@%rbx -4@%r12d 1@%r13b 8@$99 -4@$-5 -8@8(%r14) 8@(%r14) -8@-8(%r14,%r15,8)")
        "pop %r15\npop %r14\npop %r13\npop %r12\npop %rbx\nret\n"
        "guarded:\n" NOTE("guarded", "app_sem", "") "ret\n");
void hit(long a, int b, unsigned char c);
void guarded(void);
int main(void)
{
    puts("ready"); fflush(stdout); getchar();
    hit(0x1234567890, -3, 255);
    if (app_sem) guarded();
    return app_sem;
}
"""
)


@pytest.fixture(scope="module", params=["-pie", "-no-pie"])
def probed(request, tmp_path_factory):
    """A program with USDT probes."""
    gcc = require_tool("gcc")
    path = tmp_path_factory.mktemp("usdt") / "probed"
    pie = ["-fPIE", "-pie"] if request.param == "-pie" else ["-no-pie"]
    subprocess.run([gcc, "-O2", *pie, "-x", "c", "-", "-o", path], input=PROGRAM.encode(), check=True)
    return str(path)


@pytest.fixture
def child(probed):
    """It runs, and waits for a line before it comes to its probes."""
    process = subprocess.Popen([probed], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    yield process
    process.kill()
    process.communicate()


def usdt_object(monkeypatch, multi):
    if not multi:
        monkeypatch.setattr("pybpfload.links.ladder.has", lambda name: False)
    else:
        need("uprobe_multi")
    return pybpfload.load(read("usdt"))


@pytest.mark.parametrize("multi", [True, False], ids=["uprobe_multi", "perf-events"])
def test_usdt_reads_arguments_wherever_they_are(probed, child, monkeypatch, multi):
    """Registers, memory, constants, each size and sign; and the cookie."""
    with usdt_object(monkeypatch, multi) as obj:
        program = obj.programs["on_probe"]
        with pybpfload.attach_usdt(program, probed, "app", "hit", pid=child.pid, cookie=COOKIE) as link:
            assert (link.kind == "uprobe_multi") == multi
            child.communicate(b"\n")
        assert child.returncode == 0
        assert obj.variables["hits"] == 1
        assert obj.variables["count"] == 8
        assert obj.variables["cookie"] == COOKIE
        # The header of this libbpf knows no sums of registers: what it cannot read is 0.
        assert list(obj.variables["arguments"])[:7] == [0x1234567890, -3, 255, 99, -5, -8, 7]


@needs("uprobe_semaphore")
@pytest.mark.parametrize("multi", [True, False], ids=["uprobe_multi", "perf-events"])
def test_usdt_semaphore_is_raised_while_attached(probed, child, monkeypatch, multi):
    """A probe behind `if (semaphore)` is only reached because we look."""
    with usdt_object(monkeypatch, multi) as obj:
        with pybpfload.attach_usdt(obj.programs["on_probe"], probed, "app", "guarded", pid=child.pid):
            child.communicate(b"\n")
        assert child.returncode == 1
        assert obj.variables["hits"] == 1
        assert obj.variables["count"] == 0
        # Nobody looks any more.
        assert subprocess.run([probed], input=b"\n", stdout=subprocess.DEVNULL, check=False).returncode == 0


@needs("bpf_cookie")
def test_usdt_rows_are_shared_and_given_back(probed):
    """Attaching again and again needs no new rows."""
    with pybpfload.load(read("usdt")) as obj:
        program = obj.programs["on_probe"]
        for _ in range(3):
            with pybpfload.LinkSet() as links:
                for cookie in (1, 2, 2):
                    links.add(pybpfload.attach_usdt(program, probed, "app", "hit", cookie=cookie))
        used = [obj.maps["__bpf_usdt_specs"][i] for i in range(3)]
        assert [bool(x["arg_cnt"] if isinstance(x, dict) else x.arg_cnt) for x in used] == [True, True, False]


def test_usdt_without_cookies_goes_by_address(probed, child, monkeypatch):
    """Kernels before 5.15: the program finds its row by where the instruction is in the process."""
    monkeypatch.setattr("pybpfload.links.usdt.has", lambda name: False)
    monkeypatch.setattr("pybpfload.links.ladder.has", lambda name: False)
    real = features.has
    monkeypatch.setattr("pybpfload.externs.has", lambda name: name != "bpf_cookie" and real(name))
    with pybpfload.load(read("usdt")) as obj:
        with pybpfload.attach_usdt(obj.programs["on_probe"], probed, "app", "hit", pid=child.pid):
            child.communicate(b"\n")
        assert obj.variables["hits"] == 1
        assert list(obj.variables["arguments"])[:3] == [0x1234567890, -3, 255]
        assert len(obj.maps["__bpf_usdt_ip_to_spec_id"]) == 0


def test_usdt_of_a_real_interpreter():
    """Debian's Python has probes, some behind semaphores: this one fires once a collection."""
    python = "/usr/bin/python3"
    if not os.path.exists(python) or b"gc__start" not in Path(python).read_bytes():
        pytest.skip(f"{python} has no USDT probes")
    code = "import gc; gc.disable(); input(); [gc.collect(1) for _ in range(5)]"
    child = subprocess.Popen([python, "-c", code], stdin=subprocess.PIPE)
    try:
        with pybpfload.load(read("usdt")) as obj:
            with pybpfload.attach_usdt(obj.programs["on_probe"], python, "python", "gc__start", pid=child.pid):
                child.communicate(b"\n")
            assert obj.variables["hits"] >= 5
            assert obj.variables["count"] == 1
    finally:
        child.kill()
        child.communicate()


def test_usdt_missing_probe_suggests(probed):
    """The closest name; an object without the header is told so."""
    with pybpfload.load(read("usdt")) as obj:
        with pytest.raises(AttachError, match=r"no USDT probe `app:hitt` among 2 .*closest is `app:hit`"):
            pybpfload.attach_usdt(obj.programs["on_probe"], probed, "app", "hitt")
        with pytest.raises(AttachError, match=r"expected SEC\(usdt/PATH:PROVIDER:NAME\)"):
            pybpfload.attach(obj.programs["on_probe"])
    with only("uprobes", "multi") as obj, pytest.raises(AttachError, match=r"needs usdt\.bpf\.h"):
        pybpfload.attach_usdt(obj.programs["multi"], sys.executable, "a", "b")
