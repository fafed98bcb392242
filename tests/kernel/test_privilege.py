"""Processes that lack something, and what they are told; and the limit of locked memory, which old kernels have."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pybpfload import features
from tests.support.gates import require_tool
from tests.support.objects import path_of
from tests.support.sources import ROOT

pytestmark = pytest.mark.kernel

# Loads one program after having become what the argument says, and shows the error and its hint.
CHILD = """
import ctypes, os, resource, struct, sys
import pybpfload, pybpfload.loader, pybpfload.links
from pybpfload.errors import BpfError, PrivilegeError
spec = pybpfload.read_object(sys.argv[1])
for program in spec.programs.values():
    program.autoload = program.name == sys.argv[2]
exec(sys.argv[3])
try:
    obj = pybpfload.load(spec)
except PrivilegeError as error:
    print(error)
    print(error.hint)
    sys.exit(3)
with obj:
    print("loaded", resource.getrlimit(resource.RLIMIT_MEMLOCK)[0])
"""
NOBODY = "os.setgroups([]); os.setgid(65534); os.setuid(65534)"
SECCOMP = """
libc = ctypes.CDLL(None)
rules = [(0x20, 0, 0, 0), (0x15, 0, 1, NUMBER), (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7FFF0000)]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *rule) for rule in rules))
libc.prctl(38, 1, 0, 0, 0)
program = struct.pack("HxxxxxxQ", len(rules), ctypes.addressof(code))
libc.prctl(22, 2, ctypes.create_string_buffer(program), 0, 0)
"""


def run(source: str, program: str, before: str, *prefix: str) -> subprocess.CompletedProcess[str]:
    """The child's output; it may run below another program."""
    command = [*prefix, sys.executable, "-c", CHILD, str(path_of(source)), program, before]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


def test_nobody_is_told_of_capabilities_and_sysctl():
    """All that an unprivileged process lacks."""
    done = run("runs", "length", NOBODY)
    assert done.returncode == 3, done.stderr
    message, hint = done.stdout.splitlines()
    assert message.startswith(("BPF_MAP_CREATE", "BPF_PROG_LOAD"))
    assert "uid 65534" in hint
    assert "CAP_BPF" in hint
    assert "hint" not in message


@pytest.mark.parametrize(("program", "missing"), [("on_cpu", "CAP_PERFMON"), ("grow", "CAP_NET_ADMIN")])
def test_capability_that_a_program_type_takes_is_named(program, missing):
    """CAP_BPF alone is not enough for programs that trace or touch the network."""
    done = run("runs", program, "", require_tool("setpriv"), "--bounding-set=-all,+cap_39", "--inh-caps=-all")
    assert done.returncode == 3, done.stderr
    message, hint = done.stdout.splitlines()
    assert message.startswith(f"BPF_PROG_LOAD {program}: ")
    assert f"has no {missing}" in hint
    assert "CAP_BPF" not in hint


def test_capabilities_that_suffice_let_it_load():
    """The two that the hints above ask for; to look into packets took a third one before d75e30dddf73."""
    for source, program, more in (("runs", "on_cpu", "+cap_38"), ("net", "on_xdp", "+cap_12")):
        done = run(
            source, program, "", require_tool("setpriv"), f"--bounding-set=-all,+cap_39,{more}", "--inh-caps=-all"
        )
        assert done.stdout.startswith("loaded"), done.stdout + done.stderr


def test_seccomp_filter_is_suspected():
    """A container's profile refuses bpf(2) to a process that has every capability."""
    from pybpfload._sys.syscall import numbers

    done = run("runs", "length", SECCOMP.replace("NUMBER", str(numbers().bpf)))
    assert done.returncode == 3, done.stderr
    assert "seccomp filter" in done.stdout.splitlines()[1]


def test_memlock_is_lifted_when_and_only_when_the_kernel_counts_it():
    """A limit of a few pages is no obstacle; a kernel that does not count it has it left alone."""
    low = "resource.setrlimit(resource.RLIMIT_MEMLOCK, (4096, 4096))"
    done = run("runs", "rewrite", low)
    assert done.returncode == 0, done.stdout + done.stderr
    if features.has("memcg"):
        assert done.stdout.split() == ["loaded", "4096"]
    else:
        assert done.stdout.split() == ["loaded", "-1"]


def test_memlock_that_cannot_be_lifted_is_explained():
    """Without CAP_SYS_RESOURCE: on kernels that count, the hint says so; on others nothing is the matter."""
    low = "resource.setrlimit(resource.RLIMIT_MEMLOCK, (4096, 4096))"
    done = run("runs", "rewrite", low, require_tool("setpriv"), "--bounding-set=-cap_24", "--inh-caps=-all")
    if features.has("memcg"):
        assert done.stdout.split() == ["loaded", "4096"]
    else:
        assert done.returncode == 3, done.stderr
        assert "the limit of locked memory is 4096 bytes" in done.stdout
