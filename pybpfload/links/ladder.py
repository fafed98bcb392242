"""What a program has to be loaded for, so that it can be attached the best way that this kernel has.

Links to many probes want their programs loaded for them. So load() asks here, and attaching asks the same
again: a SEC(uprobe) is loaded for uprobe_multi where the kernel has it, which detaches in one grace period
however many places there are; a SEC(kprobe.multi) is loaded as a plain kprobe where it has not.
"""

from __future__ import annotations

from pybpfload.features import has
from pybpfload.progs import Program
from pybpfload.spec import ProgramSpec
from pybpfload.uapi import AttachType, ProgType

__all__ = ["attach_type_for", "attach_type_of"]

PROMOTED = ("uprobe", "uretprobe", "usdt")
# Where the link is missing, the program is loaded as a plain probe: its context is the same.
DEMOTED = {
    AttachType.TRACE_KPROBE_MULTI: "link:kprobe_multi",
    AttachType.TRACE_UPROBE_MULTI: "link:uprobe_multi",
}


def attach_type_of(program: Program) -> int:
    """The attach type that a program was loaded with; that of one that somebody else has loaded is guessed."""
    return attach_type_for(program.spec) if program.attach_type is None else program.attach_type


def attach_type_for(spec: ProgramSpec, *, tail_calls: bool = False) -> int:
    """The attach type to load a program with on this kernel.

    Args:
        tail_calls: whether it calls or is called by others: all of them have to be loaded for the same.
    """
    wanted = spec.attach_type
    if spec.type is not ProgType.KPROBE:
        return wanted
    head = spec.section.partition("/")[0].removesuffix(".s")
    plain = tail_calls or not spec.multi
    if wanted == 0 and head in PROMOTED and not plain and has("link:uprobe_multi") and has("uprobe_multi_pid"):
        return AttachType.TRACE_UPROBE_MULTI
    feature = DEMOTED.get(wanted)  # type: ignore[call-overload]
    return 0 if feature and not has(feature) else wanted
