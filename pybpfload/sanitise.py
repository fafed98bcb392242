"""An object's BTF as a kernel takes it.

clang writes types that only a loader can use (externs, sections of our own), and newer ones than older
kernels know. Ids never change: what a kernel cannot have is replaced by something of the same shape.

Source: bpf_object__sanitize_btf(), bpf_object__collect_externs() in libbpf; kernel/bpf/btf.c.
"""

from __future__ import annotations

from collections.abc import Callable

from pybpfload.btf import types as t
from pybpfload.btf.blob import Btf
from pybpfload.btf.encode import encode, placeholder
from pybpfload.btf.types import Kind, Type
from pybpfload.errors import BtfError
from pybpfload.spec import ObjectParts

__all__ = ["RULES", "kernel_view"]

DUMMY = "dummy_ksym"
MAX_SECTION = 1 << 29  # bytes: as a struct, offsets in it are bits


class _Types(dict[int, Type]):
    """Types that differ from an object's; the others are its own."""

    def __init__(self, btf: Btf) -> None:
        super().__init__(btf.replaced)
        self._btf = btf

    def __missing__(self, type_id: int) -> Type:
        return self._btf.type(type_id)


def kernel_view(spec: ObjectParts, has: Callable[[str], bool] | None = None) -> bytes:
    """The blob for BPF_BTF_LOAD. Strings keep their offsets, because line info refers to them.

    Args:
        has: whether the kernel has a feature of the RULES; asked only for what the object uses. It has all when None.
    """
    btf = spec.types()
    types = _Types(btf)
    if has or btf.ids(".ksyms"):
        types.update((found.id, found) for found in btf)
    hidden = {f.name for f in spec.functions.values() if not f.is_global}
    keep = {".maps", *spec.maps}
    for found in [*btf.of_kind(Kind.FUNC), *btf.of_kind(Kind.DATASEC)]:
        if isinstance(found, t.Func) and found.linkage == t.Linkage.GLOBAL and found.name in hidden:
            # Hidden functions are checked together with their callers, as static ones.
            types[found.id] = found._replace(linkage=t.Linkage.STATIC)
        elif isinstance(found, t.Datasec) and found.name == ".ksyms":
            _dummies(types, found)
        elif isinstance(found, t.Datasec) and (found.name not in keep or not _is_sound(found, types)):
            types[found.id] = placeholder(found.id)
    for feature, applies, rewrite in RULES if has else ():
        affected = [found for found in types.values() if applies(found)]
        if affected and has and not has(feature):
            for found in affected:
                types[found.id] = rewrite(found, types)
    return encode([types[i] for i in sorted(types)], over=btf)


def _is_sound(found: t.Datasec, types: _Types) -> bool:
    """Whether a section is one of the file, which the reader has looked at, or at least as good as one."""
    ends = [v.offset + v.size for v in found.vars if isinstance(types[v.type], t.Var)]
    return len(ends) == len(found.vars) and max(ends, default=0) <= found.size < MAX_SECTION


def _append(types: dict[int, Type], make: Callable[[int], Type]) -> int:
    number = max(types, default=0) + 1
    types[number] = make(number)
    return number


def _dummies(types: dict[int, Type], ksyms: t.Datasec) -> None:
    """The kernel wants variables with sizes in a section: four bytes each will do."""
    number = next((x.id for x in types.values() if isinstance(x, t.Int) and x.size == 4 and x.bits == 32), 0)
    number = number or _append(types, lambda i: t.Int(i, "int", 4, 32, 0, 1))
    dummy = 0
    entries = []
    for i, entry in enumerate(ksyms.vars):
        found = types.get(entry.type)
        if isinstance(found, t.Func):
            dummy = dummy or _append(types, lambda i: t.Var(i, DUMMY, number, t.Linkage.GLOBAL))
            proto = types.get(found.type)
            if isinstance(proto, t.FuncProto):
                # A function that is not extern must have names for its parameters.
                named = tuple([p._replace(name=p.name or DUMMY) if p.type else p for p in proto.params])
                types[proto.id] = proto._replace(params=named)
            types[found.id] = found._replace(linkage=t.Linkage.GLOBAL)
            entries.append(t.SectionVar(dummy, 4 * i, 4))
        elif not isinstance(found, t.Var):
            raise BtfError(f".ksyms lists type {entry.type}, neither variable nor function")
        else:
            types[found.id] = found._replace(type=number, linkage=t.Linkage.GLOBAL)
            entries.append(t.SectionVar(found.id, 4 * i, 4))
    types[ksyms.id] = ksyms._replace(size=4 * len(entries), vars=tuple(entries))


def _var_to_int(found: Type, _types: dict[int, Type]) -> Type:
    return t.Int(found.id, found.name, 1, 8, 0, 0)


def _datasec_to_struct(found: Type, types: dict[int, Type]) -> Type:
    assert isinstance(found, t.Datasec)
    members = tuple([t.Member(types[v.type].name, v.type, v.offset * 8, 0) for v in found.vars])
    name = "".join(c if c.isalnum() else "_" for c in found.name)
    return t.Composite(found.id, Kind.STRUCT, name, found.size, members)


def _proto_to_enum(found: Type, _types: dict[int, Type]) -> Type:
    assert isinstance(found, t.FuncProto)
    values = tuple([t.Enumerator(p.name or DUMMY, p.type) for p in found.params])
    return t.Enum(found.id, Kind.ENUM, "", 4, False, values)


def _func_to_typedef(found: Type, _types: dict[int, Type]) -> Type:
    assert isinstance(found, t.Func)
    return t.Typedef(found.id, found.name, found.type)


def _func_to_static(found: Type, _types: dict[int, Type]) -> Type:
    assert isinstance(found, t.Func)
    return found._replace(linkage=t.Linkage.STATIC)


def _float_to_struct(found: Type, _types: dict[int, Type]) -> Type:
    assert isinstance(found, t.Float)
    return t.Composite(found.id, Kind.STRUCT, "", found.size, ())


def _tag_to_const(found: Type, _types: dict[int, Type]) -> Type:
    assert isinstance(found, t.TypeTag)
    return t.Const(found.id, Kind.CONST, found.type)


def _enum64_to_union(found: Type, types: dict[int, Type]) -> Type:
    assert isinstance(found, t.Enum)
    if found.kind is Kind.ENUM:
        return found._replace(signed=False)
    byte = next((x.id for x in reversed(types.values()) if x.name == "enum64_placeholder"), 0)
    byte = byte or _append(types, lambda i: t.Int(i, "enum64_placeholder", 1, 8, 0, 0))
    members = tuple([t.Member(v.name, byte, 0, 0) for v in found.values])
    return t.Composite(found.id, Kind.UNION, found.name, found.size, members)


def _question_mark(found: Type, _types: dict[int, Type]) -> Type:
    return found._replace(name=found.name.replace("?", "_"))


def _is(*kinds: Kind) -> Callable[[Type], bool]:
    return lambda found: found.kind in kinds


Rule = tuple[str, Callable[[Type], bool], Callable[[Type, dict[int, Type]], Type]]

# feature, the types that need it, what becomes of them; in this order. Functions come before sections,
# whose variables may refer to them.
RULES: tuple[Rule, ...] = (
    ("btf_question_mark", lambda x: isinstance(x, t.Datasec) and "?" in x.name, _question_mark),
    ("btf_enum64", lambda x: x.kind is Kind.ENUM64 or (isinstance(x, t.Enum) and x.signed), _enum64_to_union),
    ("btf_type_tag", _is(Kind.TYPE_TAG), _tag_to_const),
    ("btf_decl_tag", _is(Kind.DECL_TAG), _var_to_int),
    ("btf_float", _is(Kind.FLOAT), _float_to_struct),
    ("btf_func_global", lambda x: isinstance(x, t.Func) and x.linkage != t.Linkage.STATIC, _func_to_static),
    ("btf_func", _is(Kind.FUNC), _func_to_typedef),
    ("btf_func", _is(Kind.FUNC_PROTO), _proto_to_enum),
    ("btf_datasec", _is(Kind.DATASEC), _datasec_to_struct),
    ("btf_datasec", _is(Kind.VAR), _var_to_int),
)
