"""From an access of the local BTF to the same access of a target's.

The access ``0:2:1`` of a relocation is a path: the first number indexes the root as if a pointer to it
were an array, each further one a member or an element. Members are found again by name, also in
anonymous structs and unions; names of fields are compared exactly, names of types without flavour.

Source: bpf_core_parse_spec(), bpf_core_spec_match(), bpf_core_fields_are_compat() and
__bpf_core_types_are_compat()/_match() in libbpf.
"""

from __future__ import annotations

from typing import NamedTuple

from pybpfload.btf import types as t
from pybpfload.btf.blob import Btf, essential_name
from pybpfload.btf.ext import CoreKind, CoreRelo
from pybpfload.btf.types import Kind
from pybpfload.errors import CoreError, printable

__all__ = [
    "Access",
    "Step",
    "Work",
    "fields_compatible",
    "match_access",
    "parse_access",
    "types_compatible",
    "types_match",
]

MAX_STEPS = 64
MAX_ACCESS = MAX_STEPS * 11  # characters
MAX_DEPTH = 32
MAX_WORK = 2_000_000  # members that are looked at; the largest tools of bcc come to 7,000
STEP_COST = 64  # of comparing two types, in members
VISIT_COST = 16  # ... and of going into a struct
COMPOSITES = (Kind.STRUCT, Kind.UNION)
ENUMS = (Kind.ENUM, Kind.ENUM64)
TYPE_KINDS = (
    CoreKind.TYPE_ID_LOCAL, CoreKind.TYPE_ID_TARGET, CoreKind.TYPE_EXISTS, CoreKind.TYPE_SIZE, CoreKind.TYPE_MATCHES,
)  # fmt: skip
ENUM_KINDS = (CoreKind.ENUMVAL_EXISTS, CoreKind.ENUMVAL_VALUE)


class Work:
    """What looking for types may cost: types that contain each other can ask for more than anybody can wait for."""

    def __init__(self) -> None:
        self._left = MAX_WORK
        self._enumerators: dict[tuple[int, int], dict[str, int]] = {}

    def spend(self, members: int) -> None:
        """Pay for looking at so many members.

        Raises:
            CoreError: it is more than any sensible object needs.
        """
        self._left -= members
        if self._left < 0:
            raise CoreError(f"finding the types takes too long: more than {MAX_WORK} members have been looked at")

    def enumerators(self, btf: Btf, enum: t.Enum) -> dict[str, int]:
        """The place of the first enumerator of each essential name."""
        found = self._enumerators.get((id(btf), enum.id))
        if found is None:
            self.spend(len(enum.values))
            found = self._enumerators[id(btf), enum.id] = {}
            for i, value in enumerate(enum.values):
                found.setdefault(essential_name(value.name), i)
        return found


class Step(NamedTuple):
    """One named member or array element on the way.

    Attributes:
        type_id: of the struct or union that has the member, or of the element itself.
        place: number of the member, element or enumerator.
        name: of the member or enumerator; None for an element.
    """

    type_id: int
    place: int
    name: str | None


class Access(NamedTuple):
    """A path into a type. `steps` leaves anonymous members out; `bit_offset` counts them."""

    btf: Btf
    root_id: int
    kind: CoreKind
    steps: tuple[Step, ...]
    bit_offset: int

    def text(self) -> str:
        """``struct task_struct.signal``; ``type[2].member``; ``enum e::VALUE``."""
        root = self.btf.describe(self.root_id)
        if self.kind in TYPE_KINDS:
            return root
        if self.kind in ENUM_KINDS:
            return f"{root}::{printable(self.steps[0].name or '')}"
        first = f"[{self.steps[0].place}]" if self.steps[0].place else ""
        rest = "".join(f".{printable(s.name)}" if s.name is not None else f"[{s.place}]" for s in self.steps[1:])
        return root + first + rest


def same_kind(a: Kind, b: Kind) -> bool:
    """The same kind; enums of 32 and 64 bits count as one."""
    return a == b or (a in ENUMS and b in ENUMS)


def is_flexible(btf: Btf, before: Step | None, array: t.Array) -> bool:
    """Whether an array is the flexible last member of a struct: any index is good."""
    if array.nelems or before is None or before.name is None:
        return False
    owner = btf.skip(before.type_id)
    return isinstance(owner, t.Composite) and before.place == len(owner.members) - 1


def parse_access(btf: Btf, relo: CoreRelo) -> Access:
    """What a relocation names in the object's own BTF.

    Raises:
        CoreError: the access does not fit the type.
    """
    parts = relo.access[:MAX_ACCESS].split(":")
    where = f"access `{printable(relo.access[:MAX_ACCESS])}` of {btf.describe(relo.type_id)}"
    if (
        len(relo.access) >= MAX_ACCESS
        or len(parts) > MAX_STEPS
        or not all(p.isascii() and p.isdigit() and len(p) <= 10 for p in parts)
    ):
        raise CoreError(f"{where}: expected up to {MAX_STEPS} numbers")
    indexes = [int(p) for p in parts]
    if relo.kind in TYPE_KINDS:
        if indexes != [0]:
            raise CoreError(f"{where}: expected `0` for {relo.kind.name}")
        return Access(btf, relo.type_id, relo.kind, (), 0)
    found = btf.skip(relo.type_id)
    if relo.kind in ENUM_KINDS:
        if not isinstance(found, t.Enum) or len(indexes) != 1 or indexes[0] >= len(found.values):
            raise CoreError(f"{where}: expected an enumerator's index for {relo.kind.name}")
        return Access(btf, relo.type_id, relo.kind, (Step(found.id, indexes[0], found.values[indexes[0]].name),), 0)
    steps: list[Step] = [Step(found.id, indexes[0], None)]
    bits = indexes[0] * btf.size_of(found.id) * 8
    for index in indexes[1:]:
        if isinstance(found, t.Composite):
            if index >= len(found.members):
                raise CoreError(f"{where}: {btf.describe(found.id)} has only {len(found.members)} members")
            member = found.members[index]
            bits += member.bit_offset
            if member.name:
                steps.append(Step(found.id, index, member.name))
            found = btf.skip(member.type)
        elif isinstance(found, t.Array):
            if index >= found.nelems and not is_flexible(btf, steps[-1], found):
                raise CoreError(f"{where}: element {index} of an array of {found.nelems}")
            element = btf.skip(found.type)
            steps.append(Step(element.id, index, None))
            bits += index * btf.size_of(element.id) * 8
            found = element
        else:
            raise CoreError(f"{where}: {btf.describe(found.id)} has no members")
    return Access(btf, relo.type_id, relo.kind, tuple(steps), bits)


def match_access(local: Access, btf: Btf, root_id: int, work: Work) -> Access | None:
    """The same access in a candidate type, or None when it has no such thing."""
    if local.kind in TYPE_KINDS:
        compatible = types_match if local.kind is CoreKind.TYPE_MATCHES else types_compatible
        if not compatible(local.btf, local.root_id, btf, root_id, work):
            return None
        return Access(btf, root_id, local.kind, (), 0)
    if local.kind in ENUM_KINDS:
        found = btf.skip(root_id)
        wanted = essential_name(local.steps[0].name or "")
        if not isinstance(found, t.Enum):
            return None
        place = work.enumerators(btf, found).get(wanted)
        if place is None:
            return None
        return Access(btf, root_id, local.kind, (Step(found.id, place, found.values[place].name),), 0)
    type_id, bits, steps = root_id, 0, []
    for i, step in enumerate(local.steps):
        found = btf.skip(type_id)
        if step.name is not None:
            hit = _member(local.btf, step, btf, found.id, work, 0)
            if hit is None:
                return None
            taken, type_id, offset = hit
            steps.append(taken)
            bits += offset
            continue
        if i:
            if not isinstance(found, t.Array):
                return None
            if step.place >= found.nelems and not is_flexible(btf, steps[-1], found):
                return None
            type_id = found.type
        element = btf.skip(type_id)
        type_id = element.id
        steps.append(Step(type_id, step.place, None))
        bits += step.place * btf.size_of(type_id) * 8
    return Access(btf, root_id, local.kind, tuple(steps), bits)


def _member(local: Btf, step: Step, btf: Btf, type_id: int, work: Work, depth: int) -> tuple[Step, int, int] | None:
    """(step, the member's type, its offset in bits) of the member that a local step names."""
    owner = btf.skip(type_id)
    if not isinstance(owner, t.Composite):
        return None
    if depth > MAX_STEPS:
        raise CoreError(f"{btf.name}: {btf.describe(type_id)}: anonymous members nest deeper than {MAX_STEPS}")
    work.spend(len(owner.members) + VISIT_COST)
    for i, member in enumerate(owner.members):
        if not member.name:
            hit = _member(local, step, btf, member.type, work, depth + 1)
            if hit is not None:
                return hit[0], hit[1], hit[2] + member.bit_offset
        elif member.name == step.name:
            local_owner = local.skip(step.type_id)
            assert isinstance(local_owner, t.Composite)
            if not fields_compatible(local, local_owner.members[step.place].type, btf, member.type):
                return None
            return Step(owner.id, i, member.name), member.type, member.bit_offset
    return None


def fields_compatible(local: Btf, local_id: int, btf: Btf, type_id: int) -> bool:
    """Whether a field may have changed from one type to the other. Size and sign of integers may."""
    for _ in range(MAX_DEPTH):
        a, b = local.skip(local_id), btf.skip(type_id)
        if a.kind in COMPOSITES and b.kind in COMPOSITES:
            return True
        if not same_kind(a.kind, b.kind):
            return False
        if a.kind in (Kind.PTR, Kind.FLOAT):
            return True
        if a.kind is Kind.FWD or a.kind in ENUMS:
            return not a.name or not b.name or essential_name(a.name) == essential_name(b.name)
        if isinstance(a, t.Int) and isinstance(b, t.Int):
            return a.offset == 0 and b.offset == 0
        if not (isinstance(a, t.Array) and isinstance(b, t.Array)):
            return False
        local_id, type_id = a.type, b.type
    raise CoreError(f"{local.name}: {local.describe(local_id)}: arrays nest deeper than {MAX_DEPTH}")


def types_compatible(
    local: Btf, local_id: int, btf: Btf, type_id: int, work: Work | None = None, level: int = MAX_DEPTH
) -> bool:
    """Whether two types are of one shape as far as TYPE_EXISTS, TYPE_SIZE and TYPE_ID_TARGET care.

    Args:
        level: how many functions may yet take functions; each allows as many pointers, as in libbpf.
    """
    work = work or Work()
    if not same_kind(local.type(local_id).kind, btf.type(type_id).kind):
        return False
    for _ in range(MAX_DEPTH if level > 0 else 0):
        work.spend(STEP_COST)
        a, b = local.skip(local_id), btf.skip(type_id)
        if not same_kind(a.kind, b.kind):
            return False
        if a.kind in (Kind.VOID, Kind.FWD, *COMPOSITES, *ENUMS):
            return True
        if isinstance(a, t.Int) and isinstance(b, t.Int):
            return a.offset == 0 and b.offset == 0
        if isinstance(a, t.FuncProto) and isinstance(b, t.FuncProto):
            if len(a.params) != len(b.params):
                return False
            for pa, pb in zip(a.params, b.params):
                low, high = local.skip(pa.type).id, btf.skip(pb.type).id
                if not types_compatible(local, low, btf, high, work, level - 1):
                    return False
            local_id, type_id = a.type, b.type
        elif isinstance(a, (t.Ptr, t.Array)) and isinstance(b, (t.Ptr, t.Array)):
            local_id, type_id = a.type, b.type
        else:
            return False
    raise CoreError(f"{local.name}: {local.describe(local_id)} is nested deeper than {MAX_DEPTH}")


def _same_name(a: str, b: str) -> bool:
    return a == b or essential_name(a) == essential_name(b)


def types_match(
    local: Btf, local_id: int, btf: Btf, type_id: int, work: Work, behind_ptr: bool = False, level: int = MAX_DEPTH
) -> bool:
    """Whether all that the local type declares stands alike in the target: TYPE_MATCHES.

    Args:
        level: how many structs and functions may yet be nested; each allows as many pointers, as in libbpf.
    """
    for _ in range(MAX_DEPTH if level > 0 else 0):
        work.spend(STEP_COST)
        a, b = local.skip(local_id), btf.skip(type_id)
        # The names of typedefs that were skipped count at the root: candidates have equal ones.
        if not _same_name(a.name, b.name):
            return False
        if behind_ptr and isinstance(b, t.Fwd) != isinstance(a, t.Fwd):
            forward, full = (b, a) if isinstance(b, t.Fwd) else (a, b)
            return isinstance(forward, t.Fwd) and full.kind is (Kind.UNION if forward.is_union else Kind.STRUCT)
        if not same_kind(a.kind, b.kind):
            return False
        if isinstance(a, t.Composite) and isinstance(b, t.Composite):
            return behind_ptr or _members_match(local, a, btf, b, work, level)
        if isinstance(a, t.Enum) and isinstance(b, t.Enum):
            names = work.enumerators(btf, b)
            work.spend(len(a.values))
            return a.size == b.size and all(essential_name(v.name) in names for v in a.values)
        if isinstance(a, t.Int) and isinstance(b, t.Int):
            return a.size == b.size and a.signed == b.signed
        if isinstance(a, t.Fwd) and isinstance(b, t.Fwd):
            return a.is_union == b.is_union
        if isinstance(a, t.Ptr) and isinstance(b, t.Ptr):
            local_id, type_id, behind_ptr = a.type, b.type, True
        elif isinstance(a, t.Array) and isinstance(b, t.Array):
            if a.nelems != b.nelems:
                return False
            local_id, type_id = a.type, b.type
        elif isinstance(a, t.FuncProto) and isinstance(b, t.FuncProto):
            if len(a.params) != len(b.params):
                return False
            for pa, pb in zip(a.params, b.params):
                if not types_match(local, pa.type, btf, pb.type, work, behind_ptr, level - 1):
                    return False
            local_id, type_id = a.type, b.type
        else:
            return isinstance(a, t.Void)  # as libbpf: floats never match
    raise CoreError(f"{local.name}: {local.describe(local_id)} is nested deeper than {MAX_DEPTH}")


def _members_match(local: Btf, a: t.Composite, btf: Btf, b: t.Composite, work: Work, level: int) -> bool:
    if a.kind != b.kind or len(a.members) > len(b.members):
        return False
    work.spend(len(a.members) + len(b.members))
    others: dict[str, list[t.Member]] = {}
    for other in b.members:
        others.setdefault(essential_name(other.name), []).append(other)
    return all(
        any(
            types_match(local, member.type, btf, other.type, work, False, level - 1)
            for other in others.get(essential_name(member.name), ())
        )
        for member in a.members
    )
