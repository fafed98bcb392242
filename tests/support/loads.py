"""What a loader asks of a kernel for one object, in a form in which two loaders can be compared.

File descriptors become the names of what is behind them, string offsets the strings.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from pybpfload.btf import Btf

INSN, FUNC, LINE = struct.Struct("<BBhi"), struct.Struct("<II"), struct.Struct("<IIII")
LD_IMM64, CALL = 0x18, 0x85
PSEUDO_MAP_FD, PSEUDO_MAP_VALUE, PSEUDO_BTF_ID = 1, 2, 3
PSEUDO_KFUNC = 2
# Fields of BPF_MAP_CREATE: libbpf's driver and our attrs call them differently.
MAP_FIELDS = {
    "type": "map_type", "key_size": "key_size", "value_size": "value_size", "max_entries": "max_entries",
    "flags": "map_flags", "numa_node": "numa_node", "key_type": "btf_key_type_id",
    "value_type": "btf_value_type_id", "vmlinux_value_type": "btf_vmlinux_value_type_id", "extra": "map_extra",
}  # fmt: skip


class Load(NamedTuple):
    """A program as it goes to the verifier.

    Attributes:
        attach: type id, and the module that has it or "".
        code: one text for each slot.
        funcs: (slot, type id).
        lines: (slot, file, text, line, column).
    """

    type: int
    attach_type: int
    attach: tuple[int, str]
    flags: int
    kernel_version: int
    license: str
    code: list[str]
    funcs: list[tuple[int, ...]]
    lines: list[tuple[int, str, str, int, int]]


class Loads:
    """All that was asked for one object.

    Attributes:
        maps: what BPF_MAP_CREATE got, by the map's name; of a map-in-map also its `inner`.
        updates: (map, key, value): what was written to maps; of a map of descriptors, names.
        programs: by name.
        stand_ins: programs whose target does not exist, as they look with another one.
        errors: what was said of programs that were refused, by name; "" for the object.
        btf: the object's, as it was loaded.
    """

    def __init__(self) -> None:
        self.maps: dict[str, dict[str, Any]] = {}
        self.updates: set[tuple[str, bytes, bytes | str]] = set()
        self.programs: dict[str, Load] = {}
        self.stand_ins: dict[str, Load] = {}
        self.errors: dict[str, str] = {}
        self.btf: Btf | None = None


def listing(code: bytes, maps: Mapping[int, str], btfs: Mapping[int, str]) -> list[str]:
    """One text for each slot: the instruction in hex, with names in place of descriptors.

    Args:
        maps, btfs: what the descriptors in the instructions at these slots are; no BTF means vmlinux.
    """
    slots = list(INSN.iter_unpack(code))
    out = []
    for slot, (op, regs, off, imm) in enumerate(slots):
        src = regs >> 4
        second = slot > 0 and slots[slot - 1][0] == LD_IMM64 and op == 0
        text = f"{imm & 0xFFFFFFFF:#x}"
        if op == LD_IMM64 and src in (PSEUDO_MAP_FD, PSEUDO_MAP_VALUE):
            text = f"map `{maps.get(slot, '?')}`"
        elif (op == LD_IMM64 and src == PSEUDO_BTF_ID) or (op == CALL and src == PSEUDO_KFUNC):
            text, off = f"type {imm} of {btfs.get(slot, 'vmlinux')}", 0  # noqa: PLW2901
        elif second and slots[slot - 1][1] >> 4 == PSEUDO_BTF_ID:
            text = ""
        out.append(f"{op:02x} dst {regs & 15} src {src} off {off} imm {text}")
    return out


def line_texts(info: bytes, btf: Btf | None) -> list[tuple[int, str, str, int, int]]:
    """Line info with its strings."""
    if btf is None:
        return []
    return [
        (slot, btf.string(file), btf.string(line), number >> 10, number & 1023)
        for slot, file, line, number in LINE.iter_unpack(info)
    ]


def from_libbpf(events: Iterable[Mapping[str, Any]]) -> Loads:
    """What the driver saw libbpf do with one object."""
    loads = Loads()
    for event in events:
        kind = event["event"]
        if kind == "btf":
            loads.btf = Btf(bytes.fromhex(event["data"]), name="libbpf")
        elif kind == "map":
            loads.maps[unique(loads.maps, event["map_name"])] = _map_of(event)
        elif kind == "update":
            value = event["refers"] if "refers" in event else bytes.fromhex(event["value"])
            loads.updates.add((event["map"], bytes.fromhex(event["key"]), value))
        elif kind == "error":
            if not event["name"]:
                loads.programs.clear()  # how they look one by one is what comes next
            loads.errors[event["name"]] = f"errno {event['errno']} in {event['phase']}: {event['log']}"
        elif kind == "program":
            (loads.stand_ins if event["stand_in"] else loads.programs)[event["name"]] = Load(
                event["type"],
                event["attach_type"],
                (event["attach_btf_id"], event.get("attach_module", "")),
                event["flags"],
                event["kernel_version"],
                event["license"],
                listing(
                    bytes.fromhex(event["code"]),
                    {int(slot): name for slot, name in event["maps"].items()},
                    {int(slot): name for slot, name in event["btfs"].items()},
                ),
                list(FUNC.iter_unpack(bytes.fromhex(event["func_info"]))),
                line_texts(bytes.fromhex(event["line_info"]), loads.btf),
            )
    return loads


def _map_of(event: Mapping[str, Any]) -> dict[str, Any]:
    found = {name: event[name] for name in MAP_FIELDS}
    if "inner" in event:
        found["inner"] = _map_of(event["inner"])
    return found


def unique(taken: Mapping[str, object], name: str) -> str:
    """The name, with a number if it is taken: the kernel sees only 15 characters."""
    return name if name not in taken else f"{name}#{len(taken)}"
