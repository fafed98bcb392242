"""The values of the thirteen kinds of CO-RE relocations.

For each relocation the candidates are the types of the target with the same essential name and kind;
all that have the access must agree on its place and value, else it is ambiguous. Candidates that lack
it drop out for good, as in libbpf: later relocations of the same type look at the others only.

Source: bpf_core_calc_relo(), bpf_core_calc_field_relo() in libbpf.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from pybpfload.btf import types as t
from pybpfload.btf.blob import Btf, essential_name
from pybpfload.btf.ext import CoreKind, CoreRelo
from pybpfload.btf.types import Kind
from pybpfload.core.match import ENUM_KINDS, STEP_COST, TYPE_KINDS, Access, Work, match_access, parse_access, same_kind
from pybpfload.errors import CoreError, ObjectError

__all__ = ["Resolution", "Resolver", "Value"]


class Value(NamedTuple):
    """What an access comes to.

    Attributes:
        number: the value; of no meaning when poisoned.
        size: of the field in bytes, for byte offsets of fields that are no bitfields; else 0.
        type_id: of that field.
        validate: whether the instruction must hold the local value.
        poisoned: the access does not exist, and there is no value to say so.
    """

    number: int
    size: int = 0
    type_id: int = 0
    validate: bool = True
    poisoned: bool = False


class Resolution(NamedTuple):
    """A relocation, decided.

    Attributes:
        local, target: values of the object's and of the target's types; target is None before it is looked for.
        local_access: what the program names: ``struct task_struct.signal``.
        target_btf, target_id: the type that matched; None and 0 when none did.
        resizable: the field's size differs, and loads and stores of it may follow.
        bad_resize: ... and they may not: the instruction gets poisoned.
    """

    relo: CoreRelo
    local: Value
    target: Value | None
    local_access: str
    target_btf: Btf | None
    target_id: int
    bad_resize: bool

    @property
    def poisoned(self) -> bool:
        """Whether no candidate has it, and no value can say so."""
        return self.target is not None and self.target.poisoned


class Resolver:
    """Decides relocations of one object against target BTF; caches what it finds.

    Args:
        local: the object's BTF.
        targets: vmlinux first; the others (modules) count only for types that vmlinux lacks.
        big_endian: of the target.
    """

    def __init__(self, local: Btf, targets: Iterable[Btf], *, big_endian: bool) -> None:
        self._local = local
        self._targets = targets
        self._big_endian = big_endian
        self._work = Work()
        self._candidates: dict[int, list[tuple[Btf, int]]] = {}  # by local type; fewer and fewer
        self._named: dict[tuple[str, Kind], list[tuple[Btf, int]]] = {}  # ... and to begin with
        self._done: dict[tuple[int, str, CoreKind], Resolution | ObjectError] = {}

    def decide(self, relo: CoreRelo) -> None:
        """Decide one relocation; `resolve` will tell how, or raise what is wrong with it."""
        key = (relo.type_id, relo.access, relo.kind)
        if key not in self._done:
            try:
                self._done[key] = self._resolve(relo)
            except ObjectError as error:
                self._done[key] = error

    def resolve(self, relo: CoreRelo) -> Resolution:
        """Decide one relocation.

        Raises:
            CoreError: it is malformed or ambiguous.
        """
        self.decide(relo)
        found = self._done[relo.type_id, relo.access, relo.kind]
        if isinstance(found, ObjectError):
            raise found
        return found._replace(relo=relo)

    def name(self, relo: CoreRelo) -> Resolution:
        """What a relocation names in the object itself; nothing is looked for.

        Raises:
            CoreError: it is malformed.
        """
        access = parse_access(self._local, relo)
        return Resolution(relo, self._value(access, relo.kind, self._local), None, access.text(), None, 0, False)

    def _resolve(self, relo: CoreRelo) -> Resolution:
        access = parse_access(self._local, relo)
        local = self._value(access, relo.kind, self._local)
        if relo.kind is CoreKind.TYPE_ID_LOCAL:
            return Resolution(relo, local, local, access.text(), self._local, relo.type_id, False)
        root = self._local.type(relo.type_id)
        if not root.name:
            raise CoreError(f"{self._local.describe(relo.type_id)}: {relo.kind.name} wants a type with a name")
        own = self._local.skip(relo.type_id)
        signed = isinstance(own, t.Enum) and own.signed
        chosen: tuple[Access, Value] | None = None
        survivors = []
        for btf, type_id in self._candidates_of(relo.type_id):
            self._work.spend(STEP_COST)
            hit = match_access(access, btf, type_id, self._work)
            if hit is None:
                continue
            value = self._value(hit, relo.kind, btf, signed=signed)
            if chosen is None:
                chosen = (hit, value)
            elif hit.bit_offset != chosen[0].bit_offset or value.number != chosen[1].number:
                raise CoreError(
                    f"{access.text()}: {relo.kind.name} is ambiguous: "
                    f"{chosen[1].number} in {chosen[0].btf.name} [{chosen[0].root_id}], "
                    f"{value.number} in {btf.name} [{type_id}]"
                )
            survivors.append((btf, type_id))
        if chosen is None:
            return Resolution(relo, local, self._missing(relo.kind), access.text(), None, 0, False)
        self._candidates[relo.type_id] = survivors
        target_access, target = chosen
        bad = local.size != target.size and not self._may_resize(local, target, target_access.btf)
        return Resolution(relo, local, target, access.text(), target_access.btf, target_access.root_id, bad)

    def _candidates_of(self, type_id: int) -> list[tuple[Btf, int]]:
        found = self._candidates.get(type_id)
        if found is None:
            root = self._local.type(type_id)
            name = essential_name(root.name)
            found = self._named.get((name, root.kind))
            if found is None:
                found = self._named[name, root.kind] = []
                for number, btf in enumerate(self._targets):
                    found += [(btf, i) for i in btf.essential_ids(name) if same_kind(btf.type(i).kind, root.kind)]
                    if found and number == 0:
                        break
            self._candidates[type_id] = found
        return found

    def _may_resize(self, local: Value, target: Value, btf: Btf) -> bool:
        """Pointers may; so may integers unless they are signed."""
        a, b = self._local.skip(local.type_id), btf.skip(target.type_id)
        if isinstance(a, t.Ptr) and isinstance(b, t.Ptr):
            return True
        # libbpf compares the whole encoding with SIGNED: a signed char passes.
        return isinstance(a, t.Int) and isinstance(b, t.Int) and a.encoding != 1 and b.encoding != 1

    def _missing(self, kind: CoreKind) -> Value:
        if kind in (CoreKind.FIELD_EXISTS, CoreKind.ENUMVAL_EXISTS) or kind in TYPE_KINDS:
            return Value(0)
        return Value(0, poisoned=True)

    def _value(self, access: Access, kind: CoreKind, btf: Btf, *, signed: bool = False) -> Value:
        if kind in TYPE_KINDS:
            if kind in (CoreKind.TYPE_ID_LOCAL, CoreKind.TYPE_ID_TARGET):
                return Value(access.root_id, validate=False)
            return Value(btf.size_of(access.root_id) if kind is CoreKind.TYPE_SIZE else 1)
        if kind in ENUM_KINDS:
            found = btf.skip(access.root_id)
            assert isinstance(found, t.Enum)
            if kind is CoreKind.ENUMVAL_EXISTS:
                return Value(1)
            number = found.values[access.steps[0].place].value
            # Kernels' BTF says only since 6.0 that an enum is signed: the object's own says it for both.
            return Value(number - (1 << 32) if signed and found.kind is Kind.ENUM and number >> 31 == 1 else number)
        if kind is CoreKind.FIELD_EXISTS:
            return Value(1)
        return self._field(access, kind, btf)

    def _field(self, access: Access, kind: CoreKind, btf: Btf) -> Value:
        last = access.steps[-1]
        if last.name is None:  # an element, or the root itself
            size = btf.size_of(last.type_id)
            if kind is CoreKind.FIELD_BYTE_OFFSET:
                return Value(access.bit_offset // 8, size, last.type_id)
            if kind is CoreKind.FIELD_BYTE_SIZE:
                return Value(size)
            raise CoreError(f"{access.text()}: {kind.name} wants a named member")
        owner = btf.skip(last.type_id)
        assert isinstance(owner, t.Composite)
        member = owner.members[last.place]
        field = btf.skip(member.type)
        bit_offset, bits = access.bit_offset, member.bitfield_size
        is_bitfield = bits > 0
        size = btf.size_of(field.id)
        if is_bitfield:
            # The smallest aligned integer that covers it; it may straddle its declared type.
            size = size or 1
            byte_offset = bit_offset // 8 // size * size
            while bit_offset + bits - byte_offset * 8 > size * 8:
                if size >= 8:
                    raise CoreError(f"{access.text()}: bitfield of {bits} bits at bit {bit_offset} fits no load")
                size *= 2
                byte_offset = bit_offset // 8 // size * size
        else:
            byte_offset, bits = bit_offset // 8, size * 8
        if kind is CoreKind.FIELD_BYTE_OFFSET:
            # A bitfield has neither size nor type that a load could follow.
            return Value(byte_offset, validate=False) if is_bitfield else Value(byte_offset, size, field.id)
        if kind is CoreKind.FIELD_BYTE_SIZE:
            return Value(size, validate=not is_bitfield)
        if kind is CoreKind.FIELD_SIGNED:
            return Value(int(isinstance(field, (t.Int, t.Enum)) and bool(field.signed)))
        if kind is CoreKind.FIELD_RSHIFT_U64:
            return Value(64 - bits & 0xFFFFFFFFFFFFFFFF)
        if self._big_endian:
            return Value((8 - size) * 8 + (bit_offset - byte_offset * 8), validate=not is_bitfield)
        return Value(64 - (bit_offset + bits - byte_offset * 8) & 0xFFFFFFFFFFFFFFFF, validate=not is_bitfield)
