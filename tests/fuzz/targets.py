"""What is fuzzed: one function for each surface that bytes from outside can reach.

Each takes any bytes. `ObjectError` and its children are answers (for records also `RecordError`, for what was sent
over the network `WireError`), and
so is a result; anything else is a finding, and so is an assertion here that fails.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Callable

from pybpfload import kconfig
from pybpfload.btf import Btf
from pybpfload.btf import types as t
from pybpfload.btf.dump import dump_all, dump_type, type_name
from pybpfload.btf.encode import encode
from pybpfload.btf.ext import BtfExt
from pybpfload.btf.layout import codec_of, layout_of
from pybpfload.core import Resolver
from pybpfload.errors import ObjectError, RecordError, UnsupportedError
from pybpfload.linker import ObjectResolver, link, needs_kernel_btf
from pybpfload.objectspec import ObjectSpec, read_object
from pybpfload.sanitise import RULES, kernel_view
from pybpfload.structops import find_struct
from pybpfload.symbols import SymbolFile
from pybpfload.symbols.usdt import usdt_sites
from pybpfload.symbols.usdt_args import parse_arguments
from pybpfload.targets import KernelTypes, read_btf
from tests.fuzz import seeds
from tests.fuzz.wire import WIRE_TARGETS
from tests.unit.pybpfload.test_btf_layout import event_types

MAX_VALUE = 1 << 16  # larger variables are not read: their values would be larger still
SAMPLE = 1 << 12  # bytes of values of any type
ASKED = 64  # so many types are asked for everything
NAMES = ("int", "s", "task_struct", ".maps", "x___y", "", "a\0b", "\udcff", "a" * 300)
FEATURES = tuple(row[0] for row in RULES)


@cache
def kernel() -> Btf:
    """A target that the objects of the tests can be relocated against."""
    return seeds.kernel().btf("kernel")


def read_objects(data: bytes) -> None:
    """An object file: read, link, relocate, sanitise, touch everything."""
    spec = read_object(data)
    repr(spec)
    for change in (_touch_variables, _relocate, _sanitise, _configure, _register):
        try:
            change(spec)
        except ObjectError:
            continue


def _touch_variables(spec: ObjectSpec) -> None:
    for name in spec.variables:
        variable = spec.variables.spec(name)
        if variable.size <= MAX_VALUE:
            content = spec.variables[name]
            try:
                spec.variables[name] = content
            except RecordError:
                continue  # overlapping members cannot both be written
    for name, layout in spec.records.items():
        assert name in spec.maps
        _decode(layout, bytes(min(layout.size, MAX_VALUE)))
    for kind in (spec.maps, spec.programs, spec.externs):
        repr(list(kind.values()))


def _relocate(spec: ObjectSpec) -> None:
    for targets in ((kernel(),), (spec.btf, kernel()) if spec.btf else ()):
        try:
            relocated = spec.relocate(*targets)
        except ObjectError:
            continue
        for program in relocated.programs.values():
            assert len(program.code) == 8 * sum(len(spec.functions[k].code) // 8 for k, _ in program.functions)
    for program in itertools.islice(spec.programs.values(), 8):
        try:
            needs_kernel_btf(spec, program)
            if spec.btf is not None:
                ObjectResolver(spec.btf, (), big_endian=spec.big_endian).named(spec, program)
            link(spec, program, [kernel()], big_endian=True)
        except ObjectError:
            continue


def _sanitise(spec: ObjectSpec) -> None:
    if spec.btf is None:
        return
    if spec.btf.big_endian:
        return  # never loaded here
    for missing in ((), FEATURES):
        view = Btf(kernel_view(spec, lambda name, missing=missing: name not in missing))
        assert len(view) >= len(spec.btf), "ids must stay"
        for found in view:
            if isinstance(found, t.Composite) and isinstance(spec.btf.type(found.id), t.Composite):
                assert found.size == spec.btf.size_of(found.id)
            if found.id >= len(spec.btf):
                break


def _configure(spec: ObjectSpec) -> None:
    config = {"CONFIG_HZ": "1000", "CONFIG_X": '"text"', "CONFIG_Y": "m"}
    kconfig.fill_kconfig(spec, {"LINUX_KERNEL_VERSION": 0x060102}, config)


def _register(spec: ObjectSpec) -> None:
    for definition in spec.maps.values():
        if definition.struct_ops and spec.btf:
            try:
                found = find_struct(spec, definition, KernelTypes(kernel(), modules=False))
                found.value(spec, definition)
            except (ObjectError, UnsupportedError):
                continue


def read_types(data: bytes) -> None:
    """BTF: every type, every question about it, decoders of it, and the way back to bytes."""
    _ask(Btf(data))


def _ask(btf: Btf) -> None:
    types = list(btf)
    for found in types[:: len(types) // ASKED + 1]:
        for question in (btf.describe, btf.size_of, btf.skip, _values_of(btf)):
            try:
                question(found.id)
            except ObjectError:
                continue
    for name in (*NAMES, *(found.name for found in types[:20])):
        # Kinds that have no names may say one all the same.
        assert all(btf.type(i).name in (name, "") for i in btf.ids(name)) or not name.isascii()
        btf.essential_ids(name)
    try:
        btf.find("no_such_type")
    except ObjectError:
        pass
    btf.decl_tags()
    if btf.first_id == 1 and not any(isinstance(found, t.Unknown) for found in types):
        assert list(Btf(encode(types))) == types


def _values_of(btf: Btf) -> Callable[[int], object]:
    def values(type_id: int) -> object:
        if btf.size_of(type_id) > SAMPLE:
            return None
        codec = codec_of(btf, type_id)
        for byte in (0, 0xA5):
            raw = bytes([byte]) * codec.size
            try:
                again = codec.pack_value(codec.unpack_value(raw))
            except RecordError:
                return None  # members that overlap, unions
            assert len(again) == codec.size
        return _decode(codec, b"\x5a" * (codec.size // 2)) if hasattr(codec, "decode") else None

    return values


def _decode(layout, data: bytes) -> object:
    try:
        return layout.decode(data)
    except RecordError:
        return None


def read_ext(data: bytes) -> None:
    """.BTF.ext with its BTF: a length of four bytes, .BTF.ext, .BTF."""
    size = int.from_bytes(data[:4], "little")
    btf = Btf(data[4 + size :])
    ext = BtfExt(data[4 : 4 + size], btf)
    resolvers = [Resolver(btf, [target], big_endian=False) for target in (btf, kernel())]
    for relo in itertools.islice(itertools.chain(*ext.core.values()), 200):
        for resolve in (resolvers[0].name, resolvers[0].resolve, resolvers[1].resolve):
            try:
                resolve(relo)
            except ObjectError:
                continue


def read_targets(data: bytes) -> None:
    """A kernel's BTF as a file, raw or in ELF; and as that of a module."""
    for base in (None, kernel()):
        try:
            _ask(read_btf(data, base=base))
        except ObjectError:
            continue


@cache
def layouts() -> tuple:
    """Layouts of records: a struct with all kinds of members, and those of our own events."""
    made, event = event_types()
    found = [layout_of(made.btf(), event)]
    for data in seeds.objects():
        found += read_object(data).records.values()
    return tuple(found)


def read_records(data: bytes) -> None:
    """A record: the first byte chooses its type."""
    layout = layouts()[(data[0] if data else 0) % len(layouts())]
    record = _decode(layout, data[1:])
    if record is not None:
        repr(record)
        record.asdict()
    for offset, size in ((1, len(data) - 1), (0, len(data) + 1), (3, 2), (-1, 4)):
        try:
            layout.unpack(memoryview(data), offset, size)
        except RecordError:
            continue


def find_symbols(data: bytes) -> None:
    """An executable, whose symbols are searched."""
    with _in_file(data) as path, SymbolFile(path) as file:
        names = {name for table in file.tables() for name in itertools.islice(table.names(), 20)}
        for name in sorted(names | {"main", ""})[:12]:
            with suppress(ObjectError):
                file.offsets([name])
        with suppress(ObjectError):
            file.matching("*a*")
        with suppress(ObjectError):
            for site in usdt_sites(file.image)[:20]:
                parse_arguments(site.arguments, file.image.elf.machine)


@contextmanager
def _in_file(data: bytes) -> Iterator[str]:
    """The path of a file in memory."""
    fd = os.memfd_create("input", os.MFD_CLOEXEC)
    try:
        os.write(fd, data)
        yield f"/proc/self/fd/{fd}"
    finally:
        os.close(fd)


def dump_types(data: bytes) -> None:
    """BTF as C text."""
    btf = Btf(data)
    for found in itertools.islice(btf, 6):
        for write in (dump_type, type_name):
            try:
                write(btf, found.id)
            except ObjectError:
                continue
    for _ in dump_all(btf):
        pass


# name -> the function, and what makes its seeds (from the tools installed here as well, when asked)
TARGETS: dict[str, tuple[Callable[[bytes], None], Callable[..., tuple[bytes, ...]]]] = {
    "object": (read_objects, seeds.objects),
    "btf": (read_types, seeds.btfs),
    "ext": (read_ext, seeds.exts),
    "target": (read_targets, lambda tools: (*seeds.btfs(tools=tools), *seeds.objects(tools=tools))),
    "record": (read_records, lambda tools: tuple(bytes([i]) + bytes(range(200)) for i in range(len(layouts())))),
    "symbols": (find_symbols, seeds.elfs),
    "dump": (dump_types, seeds.btfs),
    **WIRE_TARGETS,
}
