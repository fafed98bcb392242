"""How a struct has to be written so that a compiler lays it out as BTF says.

BTF has offsets and sizes, C text has none: they follow from the order and the alignment of the members,
and from attributes and padding that BTF does not record. A `Plan` says which of these the text needs.
It is worked out from what the text of the members will be, not from what their source may have been, so
that the outcome is right even where the guess at the source is not.

Natural alignment is tried first, then ``packed``. A gap becomes ``aligned(N)`` where that explains it,
otherwise padding.

Source: the System V ABI's rules for bit-fields, which BPF, x86-64 and arm64 share but for unnamed ones.
"""

from __future__ import annotations

from typing import NamedTuple

from pybpfload.btf import types as t
from pybpfload.btf.blob import Btf
from pybpfload.btf.types import Kind
from pybpfload.errors import BtfError

__all__ = ["Layouts", "Plan", "Slot"]

MAX_DEPTH = 64
MAX_ALIGN = 4096


class Slot(NamedTuple):
    """One member.

    Attributes:
        bits: width of a bit-field, else 0.
        padding: gaps that have to be filled before it, as (bit-field width, 0) or (0, bytes).
        aligned: attribute of the member, 0 for none.
        gap: bits before it that no member covers.
        misplaced: no C text can put it where it is: it overlaps the member before it.
    """

    name: str
    type: int
    bit_offset: int
    bits: int
    size: int
    padding: tuple[tuple[int, int], ...] = ()
    aligned: int = 0
    gap: int = 0
    misplaced: bool = False


class Plan(NamedTuple):
    """How to write a struct or union.

    Attributes:
        align: what the compiler will make of it, in bytes.
        aligned: attribute of the whole, 0 for none.
        tail: padding behind the last member.
        gap: bits behind the last member.
    """

    packed: bool
    align: int
    aligned: int
    slots: tuple[Slot, ...]
    tail: tuple[tuple[int, int], ...]
    gap: int


class Layouts:
    """The plans of the structs of one `Btf`, each worked out once."""

    def __init__(self, btf: Btf) -> None:
        self._btf = btf
        self._plans: dict[int, Plan] = {}

    def plan(self, found: t.Composite, depth: int = 0) -> Plan:
        """How to write it.

        Raises:
            BtfError: a member has no size, or structs nest too deep.
        """
        plan = self._plans.get(found.id)
        if plan is None:
            if depth > MAX_DEPTH:
                raise BtfError(
                    f"{self._btf.name}: type id {found.id} ({self._btf.describe(found.id)}) "
                    f"nests deeper than {MAX_DEPTH}"
                )
            slots = [self._slot(member) for member in found.members]
            aligns = [self.align_of(slot.type, depth + 1) for slot in slots]
            place = _union if found.kind is Kind.UNION else _struct
            plan = place(found, slots, aligns, packed=False) or place(found, slots, aligns, packed=True)
            assert plan is not None  # packed always answers
            self._plans[found.id] = plan
        return plan

    def align_of(self, type_id: int, depth: int = 0) -> int:
        """The alignment of the text of a type, in bytes."""
        found = self._btf.skip(type_id)
        for _ in range(MAX_DEPTH):
            if not isinstance(found, t.Array):
                break
            found = self._btf.skip(found.type)
        if isinstance(found, t.Ptr):
            return 8
        if isinstance(found, t.Composite):
            return self.plan(found, depth).align
        if isinstance(found, (t.Int, t.Enum, t.Float)) and found.size in (1, 2, 4, 8, 16):
            return found.size
        return 1

    def _slot(self, member: t.Member) -> Slot:
        size, bits, offset = self._btf.size_of(member.type), member.bitfield_size, member.bit_offset
        inner = self._btf.skip(member.type)
        if not bits and isinstance(inner, t.Int) and (inner.bits != inner.size * 8 or inner.offset):
            # As BTF had bit-fields at first: in the type of the member.
            bits, offset = inner.bits, offset + inner.offset
        return Slot(member.name, member.type, offset, bits if size else 0, size)


def _round_up(value: int, to: int) -> int:
    return -(-value // to) * to


def _struct(found: t.Composite, slots: list[Slot], aligns: list[int], *, packed: bool) -> Plan | None:
    """The plan, or None when natural alignment cannot give these offsets."""
    at, align = 0, 1
    made = []
    for slot, natural in zip(slots, aligns):
        here = 1 if packed else natural
        want, unit = slot.bit_offset, slot.size * 8
        if not slot.bits:
            falls = _round_up(at, here * 8)
        elif packed or at % unit + slot.bits <= unit:
            falls = at
        else:
            falls = _round_up(at, unit)
        if want < falls:
            if not packed:
                return None
            made.append(slot._replace(misplaced=True))
            at = max(at, want + (slot.bits or unit))
            continue
        if not packed and (want % unit + slot.bits > unit if slot.bits else want % (here * 8)):
            return None
        power = 0 if want == falls or slot.bits or packed else _power(at, want, here, found.size)
        padding = () if power or want == falls else _padding(at, want)
        made.append(slot._replace(aligned=power, padding=padding, gap=want - at))
        align = max(align, power)
        align = max(align, here)
        at = want + (slot.bits or unit)
    return _close(found, made, at, align, packed)


def _union(found: t.Composite, slots: list[Slot], aligns: list[int], *, packed: bool) -> Plan | None:
    made = [slot._replace(misplaced=slot.bit_offset != 0) for slot in slots]
    align = 1 if packed else max(aligns, default=1)
    end = max((slot.bits or slot.size * 8 for slot in slots), default=0)
    return _close(found, made, end, align, packed)


def _close(found: t.Composite, slots: list[Slot], end: int, align: int, packed: bool) -> Plan | None:
    size = found.size * 8
    gap = 0 if found.kind is Kind.UNION else max(0, size - end)
    end = _round_up(end, 8)
    natural = _round_up(end, align * 8)
    if natural == size or (packed and natural > size):
        return Plan(packed, align, 0, tuple(slots), (), gap)
    if natural > size or size % (align * 8):
        return None
    power = _power(end, size, align, found.size)
    if power:
        return Plan(packed, power, power, tuple(slots), (), gap)
    if found.kind is Kind.UNION:
        return Plan(packed, align, 0, tuple(slots), ((0, found.size),), gap)
    return Plan(packed, align, 0, tuple(slots), tuple(_padding(end, size)), gap)


def _power(at: int, want: int, above: int, size: int) -> int:
    """The least alignment, in bytes, that moves bit `at` to bit `want` in a struct of this size; 0 if none does."""
    power = above * 2
    while power <= MAX_ALIGN:
        if _round_up(at, power * 8) == want:
            return power if size % power == 0 else 0
        power *= 2
    return 0


def _padding(at: int, want: int) -> tuple[tuple[int, int], ...]:
    made = []
    if at % 8:
        width = min(8 - at % 8, want - at)
        made.append((width, 0))
        at += width
    count = (want - at) // 8
    if count and at % 64 + count * 8 <= 64:
        made.append((count * 8, 0))
    elif count:
        made.append((0, count))
    at += count * 8
    if want > at:
        made.append((want - at, 0))
    return tuple(made)
