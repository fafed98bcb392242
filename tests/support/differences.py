"""Where two loaders differ on one object, in words."""

from __future__ import annotations

from collections.abc import Sequence

from pybpfload.btf import Btf
from pybpfload.btf import types as t
from pybpfload.btf.encode import placeholder
from tests.support.loads import Load, Loads

MMAPABLE = 1 << 10  # of data sections: see the decisions
AROUND = 3  # slots shown before and after the first that differs


def differences(ours: Loads, theirs: Loads) -> list[str]:
    """One text for each difference; none when both ask the same of the kernel."""
    out: list[str] = []
    refused = [("" in x.errors and not x.programs and not x.stand_ins) for x in (ours, theirs)]
    if all(refused):
        return []
    if any(refused):
        who, why = ("we refuse", ours.errors[""]) if refused[0] else ("libbpf refuses", theirs.errors[""])
        return [f"only {who} the object: {why}"]
    for name in sorted({*ours.maps, *theirs.maps}):
        out += _map_differences(name, ours, theirs)
    for name in sorted({*ours.programs, *theirs.programs, *ours.stand_ins, *theirs.stand_ins}):
        out += _program_differences(name, ours, theirs)
    for map_name, key, value in sorted(ours.updates ^ theirs.updates, key=repr):
        who = "we" if (map_name, key, value) in ours.updates else "libbpf"
        shown = value.hex() if isinstance(value, bytes) else f"`{value}`"
        out.append(f"map `{map_name}`: only {who} write {shown} at key {key.hex()}")
    if ours.btf is not None and theirs.btf is not None:
        out += _btf_differences(ours.btf, theirs.btf)
    return out


def _btf_differences(ours: Btf, theirs: Btf) -> list[str]:
    if len(ours) != len(theirs):
        return [f"BTF has {len(ours)} types, of libbpf {len(theirs)}"]
    return [
        f"BTF: type {a!r}, of libbpf {b!r}"
        for a, b in zip(ours, theirs)
        # Sections that are no maps mean nothing to the kernel: we leave them out.
        if a != b and not (isinstance(b, t.Datasec) and a == placeholder(b.id))
    ]


def _map_differences(name: str, ours: Loads, theirs: Loads) -> list[str]:
    a, b = ours.maps.get(name), theirs.maps.get(name)
    if a is None or b is None:
        return [f"map `{name}`: only {'libbpf' if a is None else 'we'} create it"]
    if "." in name:
        a, b = ({**x, "flags": x["flags"] & ~MMAPABLE} for x in (a, b))
    return [
        f"map `{name}`: {key} is {a.get(key)!r}, of libbpf {b.get(key)!r}"
        for key in {**a, **b}
        if a.get(key) != b.get(key)
    ]


def _program_differences(name: str, ours: Loads, theirs: Loads) -> list[str]:
    where = f"program `{name}`: "
    for kind in ("programs", "stand_ins"):
        a, b = getattr(ours, kind).get(name), getattr(theirs, kind).get(name)
        if a is not None and b is not None:
            return [where + text for text in load_differences(a, b)]
    if name in ours.programs or name in ours.stand_ins:
        return [f"{where}only libbpf refuses: {theirs.errors.get(name, theirs.errors.get('', '?'))}"]
    return [f"{where}only we refuse: {ours.errors.get(name, ours.errors.get('', '?'))}"]


def load_differences(a: Load, b: Load) -> list[str]:
    """What differs between our and libbpf's load of one program."""
    out = [
        f"{key} is {getattr(a, key)!r}, of libbpf {getattr(b, key)!r}"
        for key in ("type", "attach_type", "attach", "flags", "kernel_version", "license")
        if getattr(a, key) != getattr(b, key)
    ]
    for key in ("code", "funcs", "lines"):
        text = first_difference(getattr(a, key), getattr(b, key))
        out += [f"{key} {text}"] if text else []
    return out


def first_difference(a: Sequence[object], b: Sequence[object]) -> str:
    """Where two lists begin to differ, with what stands around it, or ""."""
    if a == b:
        return ""
    at = next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
    rows = [f"differs from [{at}] on ({len(a)}, of libbpf {len(b)}):"]
    for i in range(max(0, at - AROUND), at + AROUND + 1):
        x, y = (repr(side[i]) if i < len(side) else "-" for side in (a, b))
        rows.append(f"    [{i}] {x}" if x == y else f"  > [{i}] ours   {x}\n  > [{i}] libbpf {y}")
    return "\n".join(rows)
