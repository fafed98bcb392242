"""Which capabilities are there, and how their lack is told."""

from __future__ import annotations

import os

import pytest

from tracer.errors import TracerError
from tracer.proc import capabilities

BPF, PERFMON, ADMIN = 1 << 39, 1 << 38, 1 << 21


@pytest.mark.parametrize(
    ("mask", "names"),
    [
        (0, ["CAP_BPF", "CAP_PERFMON"]),
        (BPF, ["CAP_PERFMON"]),
        (BPF | PERFMON, []),
        (ADMIN, []),
        ((1 << 41) - 1, []),
        ((1 << 41) - 1 & ~(BPF | ADMIN), ["CAP_BPF"]),
    ],
)
def test_missing_capabilities(mask, names):
    """CAP_SYS_ADMIN contains what came after it."""
    assert capabilities.missing(mask) == names


def test_effective_reads_the_mask_of_this_process():
    """As /proc/self/status has it."""
    with open("/proc/self/status") as status:
        (line,) = [line for line in status if line.startswith("CapEff:")]
    assert capabilities.effective() == int(line.split()[1], 16)


@pytest.mark.parametrize(("uid", "hint"), [(1000, "sudo"), (0, "--cap-add")])
def test_explain_hints_at_what_helps(monkeypatch, uid, hint):
    """A user needs sudo; root in a container needs capabilities."""
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    message, found = capabilities.explain(["CAP_BPF"])
    assert "CAP_BPF" in message
    assert hint in found


def test_effective_without_proc_is_an_error_with_a_hint(tmp_path):
    """Not a traceback."""
    with pytest.raises(TracerError, match="cannot read") as caught:
        capabilities.effective(str(tmp_path / "self" / "status"))
    assert "mount" in caught.value.hint


def test_lacks_says_what_is_lost():
    """One sentence for each capability that is of use."""
    assert capabilities.lacks(capabilities.KEPT) == []
    losses = capabilities.lacks(BPF | PERFMON)
    assert [loss.split(",")[0] for loss in losses] == ["without CAP_SYS_PTRACE", "without CAP_DAC_READ_SEARCH"]
