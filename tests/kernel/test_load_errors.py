"""What the verifier's refusal looks like: log, errno, source line, and what stands behind a poisoned instruction."""

from __future__ import annotations

import errno

import pytest

import pybpfload
from pybpfload import features
from pybpfload._sys import syscall
from pybpfload.errors import PrivilegeError, SyscallError, VerifierError
from pybpfload.uapi import Cmd
from tests.support.objects import read

pytestmark = pytest.mark.kernel


def only(name: str, source: str):
    """The spec with one program."""
    spec = read(source)
    for program in spec.programs.values():
        program.autoload = program.name == name
    return spec


def rejection(spec) -> VerifierError:
    """What loading it raises."""
    with pytest.raises(VerifierError) as caught:
        pybpfload.load(spec).close()
    return caught.value


class Loads:
    """Counts calls of BPF_PROG_LOAD, and answers some itself."""

    def __init__(self, monkeypatch, answers=None) -> None:
        self.sizes: list[int] = []
        self._answers = answers or {}
        self._real = syscall.door
        monkeypatch.setattr(syscall, "door", self)

    def __call__(self, number, *arguments):
        if number == syscall.numbers().bpf and arguments[0] == Cmd.PROG_LOAD:
            self.sizes.append(arguments[1]._obj.log_size)
            answer = self._answers.get(len(self.sizes) - 1)
            if answer is not None:
                return answer
        return self._real(number, *arguments)


@pytest.mark.slow
def test_log_of_megabytes_is_kept_whole(monkeypatch):
    """The buffer grows until the log fits: its beginning is there, and its end, which the message shows."""
    says_size = features.has("log_true_size")
    loads = Loads(monkeypatch)
    error = rejection(only("long_log", "branches"))
    assert error.errno == errno.EACCES
    assert len(error.log) > 1 << 20
    assert "skb->len" in error.log[:2000]
    assert error.log.rstrip().splitlines()[-1].startswith("processed ")
    assert len(str(error)) < 4000
    assert error.source == "branches.bpf.c:21: return *nowhere;"
    assert loads.sizes[0] == 0  # the first try is without a log
    if says_size:
        assert len(loads.sizes) == 3  # without, in 64 KiB, and in what the kernel said


def test_first_errno_is_kept_when_later_tries_answer_otherwise(monkeypatch):
    """The tries that only collect the log cannot change what was the matter."""
    Loads(monkeypatch, {0: -errno.E2BIG, 1: -errno.EINVAL})
    assert rejection(only("length", "runs")).errno == errno.E2BIG


def test_second_try_that_is_let_pass_leaves_no_program(monkeypatch):
    """The kernel changed its mind: the first answer stands, and the gate finds no program left behind."""
    loads = Loads(monkeypatch, {0: -errno.EINVAL})
    error = rejection(only("length", "runs"))
    assert (error.errno, len(loads.sizes)) == (errno.EINVAL, 2)


def test_busy_kernel_is_asked_again(monkeypatch):
    """EAGAIN and EINTR mean: once more."""
    loads = Loads(monkeypatch, {0: -errno.EAGAIN, 1: -errno.EINTR})
    pybpfload.load(only("length", "runs")).close()
    assert len(loads.sizes) == 3


def test_kernel_that_stays_busy_is_given_up(monkeypatch):
    """After some tries."""
    loads = Loads(monkeypatch, dict.fromkeys(range(50), -errno.EAGAIN))
    assert rejection(only("length", "runs")).errno == errno.EAGAIN
    assert len(loads.sizes) < 20


def test_error_has_the_instruction_and_its_source_line():
    """Also as attributes, for tools."""
    error = rejection(only("reads_through_null", "rejected"))
    assert (error.insn, error.source) == (1, "rejected.bpf.c:11: return *nowhere;")
    assert "\n  at insn 1, rejected.bpf.c:11: return *nowhere;" in str(error)


def test_missing_field_is_named():
    """A field that this kernel lacks became a call of nothing."""
    error = rejection(only("poisoned", "rejected"))
    assert error.notes[-1] == "insn 1 needs struct task_struct.no_such_field, which this kernel has not"


def test_missing_kernel_function_is_named():
    """So did a call of a weak function that no kernel has."""
    error = rejection(only("calls_it", "poison"))
    assert error.notes[-1] == "insn 1 calls bpf_no_such_function(), a function which this kernel has not"
    assert error.source.startswith("poison.bpf.c:")


def test_map_that_was_not_created_is_named():
    """And the use of a map that was left out."""
    spec = only("uses_map", "poison")
    spec.maps["optional"].autocreate = False
    error = rejection(spec)
    assert error.notes[-1].endswith("uses map `optional`, which was not created (autocreate is off)")


def test_map_that_was_not_created_does_no_harm_in_dead_code():
    """A constant says that the code is not reached."""
    spec = only("uses_map", "poison")
    spec.maps["optional"].autocreate = False
    spec.variables["use_optional"] = 0
    with pybpfload.load(spec) as obj:
        assert list(obj.maps) == [".rodata"]
        assert obj.programs["uses_map"].run(bytes(20)).retval == 5


def test_refusal_without_a_verdict_is_a_privilege_error(monkeypatch):
    """EPERM and an empty log: the verifier did not even look, so it is no VerifierError; there is a hint."""
    Loads(monkeypatch, dict.fromkeys(range(9), -errno.EPERM))
    with pytest.raises(PrivilegeError) as caught:
        pybpfload.load(only("on_cpu", "runs"))
    assert not isinstance(caught.value, VerifierError)
    assert str(caught.value) == "BPF_PROG_LOAD on_cpu: Operation not permitted (EPERM)"
    assert isinstance(caught.value.hint, str)


def test_load_without_a_descriptor_to_spare_is_no_verdict(monkeypatch):
    """EMFILE: the verifier had nothing to say, and is not blamed."""
    real = syscall.door

    def full(number, *arguments):
        loads = number == syscall.numbers().bpf and arguments[0] == Cmd.PROG_LOAD
        return -errno.EMFILE if loads else real(number, *arguments)

    spec = read("uprobe")
    monkeypatch.setattr(syscall, "door", full)
    with pytest.raises(SyscallError, match="EMFILE") as caught:
        pybpfload.load(spec)
    assert not isinstance(caught.value, VerifierError)
