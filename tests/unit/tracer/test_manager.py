"""Why no probe is on, and how losses are told. What needs a kernel is in tests/e2e/test_manager.py."""

from __future__ import annotations

import errno
import io

import pytest

from pybpfload.errors import BtfError, ObjectError, PrivilegeError, UnsupportedError, VerifierError
from tracer import manager as module
from tracer.accounting import KindStats, Stats, describe_losses
from tracer.errors import KernelError, LoadError, NoPrivilegeError
from tracer.log import NOTES, Log
from tracer.manager import EbpfManager
from tracer.probes import PROBES
from tracer.settings import Settings


@pytest.fixture
def log():
    return io.StringIO()


@pytest.fixture
def allowed(monkeypatch):
    """A host that lets us trace and has BTF."""
    monkeypatch.setattr(module.capabilities, "effective", lambda: (1 << 41) - 1)
    monkeypatch.setattr(module, "kernel_btf", object)


def create(log):
    return EbpfManager.create(THREE, Settings(own_pid=1), Log(NOTES, log))


# As many as there are causes below.
THREE = [probe for probe in PROBES if probe.wanted(Settings(own_pid=1))][:3]


REFUSED = PrivilegeError(errno.EPERM, "BPF_MAP_CREATE events")
TOO_OLD = UnsupportedError("ring buffer", "5.8")
BROKEN = ObjectError("x: is no ELF file")
REJECTED = VerifierError(errno.EACCES, "BPF_PROG_LOAD on_sys_exit", "R1 invalid mem access\n")


@pytest.mark.parametrize(
    ("causes", "kind", "code"),
    [
        ((REFUSED, REFUSED, REFUSED), NoPrivilegeError, 3),
        ((TOO_OLD, TOO_OLD, TOO_OLD), KernelError, 4),
        ((BROKEN, BROKEN, BROKEN), LoadError, 5),
        ((REFUSED, TOO_OLD, REFUSED), LoadError, 5),
        ((REJECTED, REJECTED, BROKEN), LoadError, 5),
    ],
    ids=["privilege", "kernel", "object", "mixed", "verifier"],
)
def test_no_probe_loaded_is_the_error_that_fits(allowed, log, monkeypatch, causes, kind, code):
    """The exit code says whose fault it is, and each probe has had its line."""
    left = list(causes)

    def read_object(source, name):
        raise left.pop(0)

    monkeypatch.setattr(module.pybpfload, "read_object", read_object, raising=False)
    with pytest.raises(kind) as caught:
        create(log).load_programs()
    assert caught.value.exit_code == code
    warnings = [line for line in log.getvalue().splitlines() if line.startswith("crypto-tracer: warning: probe ")]
    assert [line.split()[3] for line in warnings] == [probe.name for probe in THREE]


def test_verifier_complaint_is_shown_below_its_probe(allowed, log, monkeypatch):
    """The last lines of its log are what somebody needs to see."""

    def read_object(source, name):
        raise REJECTED

    monkeypatch.setattr(module.pybpfload, "read_object", read_object, raising=False)
    with pytest.raises(LoadError):
        create(log).load_programs()
    assert "R1 invalid mem access" in log.getvalue()


def test_create_without_capabilities_is_no_privilege(log, monkeypatch):
    """Nothing is tried, and the hint says what to do."""
    monkeypatch.setattr(module.capabilities, "effective", lambda: 0)
    with pytest.raises(NoPrivilegeError, match="CAP_BPF and CAP_PERFMON") as caught:
        create(log)
    assert caught.value.hint


@pytest.mark.parametrize("error", [UnsupportedError("BTF of its own", "5.4"), BtfError("vmlinux: no magic")])
def test_create_without_kernel_btf_is_the_kernels_fault(allowed, log, monkeypatch, error):
    """Exit code 4, with what a kernel needs."""

    def kernel_btf():
        raise error

    monkeypatch.setattr(module, "kernel_btf", kernel_btf)
    with pytest.raises(KernelError) as caught:
        create(log)
    assert str(error) in str(caught.value)
    assert "CONFIG_DEBUG_INFO_BTF" in caught.value.hint


@pytest.mark.parametrize(
    ("stats", "text"),
    [
        (
            Stats(9, 3, by_kind={"file_open": KindStats(7, 2), "process_exec": KindStats(5, 1)}),
            "lost 3 events so far (2 file_open, 1 process_exec): the ring buffer was full",
        ),
        (Stats(9, undecodable=2), "2 records so far have a form that is not known"),
        (Stats(9, 1, 2, by_kind={"file_open": KindStats(9, 1)}), "; 2 records so far"),
        (
            Stats(9, unread=2, by_kind={"file_open": KindStats(9, 0, 2)}),
            "2 names so far could not be read (2 file_open)",
        ),
        (Stats(9, skipped=4), "the kernel left out 4 calls of probes so far"),
        (Stats(9, not_followed=4), "4 new processes of the tree are not followed"),
    ],
)
def test_describe_losses_names_kinds_and_causes(stats, text):
    """What was lost, and where."""
    assert text in describe_losses(stats)
