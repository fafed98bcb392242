"""What an object file says, as values: nothing here holds a file descriptor or needs privilege.

`read_object()` makes an `ObjectSpec`; the caller may change it (variables, map sizes, autoload);
`load()` makes a `BpfObject` from it.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping, MutableMapping
from typing import NamedTuple

from pybpfload.btf.blob import Btf
from pybpfload.btf.codec import Codec
from pybpfload.btf.ext import BtfExt
from pybpfload.btf.layout import RecordLayout, layout_of
from pybpfload.closest import closest
from pybpfload.errors import ObjectError, RecordError, printable
from pybpfload.sections import Flag
from pybpfload.uapi import MapFlag, MapType, ProgType

__all__ = [
    "ExternSpec",
    "Function",
    "FunctionKey",
    "MapSpec",
    "ObjectParts",
    "ProgramSpec",
    "Ref",
    "RefKind",
    "StructOps",
    "Variable",
    "Variables",
    "type_name",
]

MAX_LINE = 500  # characters of a source line that are shown

FunctionKey = tuple[str, int]  # section, byte offset in it


class RefKind(enum.Enum):
    """What an instruction refers to."""

    MAP = "map"
    DATA = "data"  # a byte of a data section
    CALL = "call"
    FUNC_ADDRESS = "function address"
    KFUNC = "kfunc"
    KSYM = "ksym"
    KCONFIG = "kconfig"
    UNDEFINED = "undefined"  # nobody says what it is


class Ref(NamedTuple):
    """The reference of one instruction.

    Attributes:
        slot: the instruction, counted from the function's first.
        name: of the map, data section, extern, or section of the function.
        offset: in bytes: into the data section, or of the function in its section.
    """

    slot: int
    kind: RefKind
    name: str
    offset: int = 0


class Function(NamedTuple):
    """The code between two function symbols.

    Attributes:
        code: its instructions, in the host's byte order.
        refs: by slot.
        is_global: the verifier checks it on its own (not static, not hidden).
    """

    name: str
    section: str
    offset: int
    code: bytes
    refs: dict[int, Ref]
    is_global: bool

    @property
    def key(self) -> FunctionKey:
        """What the other parts call it by."""
        return (self.section, self.offset)


class ProgramSpec:
    """A program: a function and what its section's name says.

    Attributes:
        section: the SEC() name, without the ``?`` of programs that are not loaded by default.
        type: UNSPEC when nobody knows the section's name: set it before loading.
        target: what stands behind the slash: ``sched/sched_switch``.
        autoload: whether load() takes it.
        multi: whether a SEC("uprobe") may be loaded for links to many uprobes, where the kernel has these (6.10). They
            detach at once; but there is no other way to attach such a program then, and it cannot take part in tail
            calls with programs that are loaded otherwise: load() sees to those of the object's own program arrays.
    """

    def __init__(
        self,
        name: str,
        section: str,
        function: FunctionKey,
        type: ProgType,
        attach_type: int,
        target: str,
        flags: Flag,
        autoload: bool,
    ) -> None:
        self.name = name
        self.section = section
        self.function = function
        self.type = type
        self.attach_type = attach_type
        self.target = target
        self.flags = flags
        self.autoload = autoload
        self.multi = True

    def __repr__(self) -> str:
        return f"<ProgramSpec {printable(self.name)} SEC({printable(self.section)!r})>"


class StructOps(NamedTuple):
    """A kernel struct of functions, as the object fills it in.

    Attributes:
        type_id: of the struct in the object's BTF.
        data: its bytes; functions are zero.
        programs: member to the name of its program.
    """

    type_id: int
    data: bytes
    programs: dict[str, str]


def type_name(type: MapType | int) -> str:
    """``HASH``, or ``type 77``."""
    return type.name if isinstance(type, MapType) else f"type {type}"


class MapSpec:
    """A map to be created.

    Attributes:
        type: a MapType, or a plain number that is newer than this library: then it cannot be created.
        key_type, value_type: ids in the object's BTF, 0 when it says nothing.
        flags: MapFlag bits.
        pin_by_name: whether it asks to be pinned under its name.
        inner: what a map-in-map holds.
        values: initial contents of a map-in-map or a program array: index to symbol name.
        struct_ops: of a STRUCT_OPS map: what the kernel shall register.
        autocreate: whether load() creates it.
        extra: bytes behind a definition in a ``maps`` section, which only iproute2 understands.
        content: of a data section: its one value; of an arena: how its memory begins. None for other maps.
    """

    def __init__(
        self,
        name: str,
        type: MapType | int,
        *,
        key_size: int = 0,
        value_size: int = 0,
        max_entries: int = 0,
        flags: int = 0,
        key_type: int = 0,
        value_type: int = 0,
        numa_node: int | None = None,
        map_extra: int = 0,
        pin_by_name: bool = False,
        inner: MapSpec | None = None,
        content: bytearray | None = None,
        extra: bytes = b"",
        struct_ops: StructOps | None = None,
        autocreate: bool = True,
    ) -> None:
        self.name = name
        self.type = type
        self.key_size = key_size
        self.value_size = value_size
        self.max_entries = max_entries
        self.flags = flags
        self.key_type = key_type
        self.value_type = value_type
        self.numa_node = numa_node
        self.map_extra = map_extra
        self.pin_by_name = pin_by_name
        self.inner = inner
        self.values: dict[int, str] = {}
        self.content = content
        self.extra = extra
        self.struct_ops = struct_ops
        self.autocreate = autocreate

    @property
    def frozen(self) -> bool:
        """Whether load() freezes it once it is filled."""
        return self.content is not None and bool(self.flags & MapFlag.RDONLY_PROG)

    def __repr__(self) -> str:
        return f"<MapSpec {printable(self.name)} {type_name(self.type)}>"


class Variable(NamedTuple):
    """A global variable: where it lies, and its type."""

    name: str
    map: MapSpec
    offset: int
    size: int
    type_id: int
    codec: Codec


class Variables(MutableMapping[str, object]):
    """The global variables of an object by name; values are checked against their BTF types.

    Setting one changes what the data section will hold when it is loaded.
    """

    def __init__(self) -> None:
        self._all: dict[str, Variable] = {}
        self._ambiguous: dict[str, list[str]] = {}

    def add(self, variable: Variable) -> None:
        """Enter a variable. Several of one name, which a linker makes of static ones, get longer names."""
        name = variable.name
        other = self._all.pop(name, None)
        if other is not None:
            self._ambiguous[name] = []
            self._add_long(other)
        if name in self._ambiguous:
            self._add_long(variable)
        else:
            self._all[name] = variable

    def _add_long(self, variable: Variable) -> None:
        long = f"{variable.name}@{variable.map.name}+{variable.offset}"
        self._ambiguous[variable.name].append(long)
        self._all[long] = variable

    def spec(self, name: str) -> Variable:
        """Where a variable lies.

        Raises:
            KeyError: there is none; says what comes closest.
        """
        found = self._all.get(name)
        if found is None and name in self._ambiguous:
            raise KeyError(f"several variables `{printable(name)}`: {', '.join(map(printable, self._ambiguous[name]))}")
        if found is None:
            close = closest(name, self._all)
            hint = f"; closest is `{printable(close)}`" if close else ""
            raise KeyError(f"no variable `{printable(name)}`{hint}")
        return found

    def __getitem__(self, name: str) -> object:
        var = self.spec(name)
        content = var.map.content
        assert content is not None
        return var.codec.unpack_value(bytes(content[var.offset : var.offset + var.size]))

    def __setitem__(self, name: str, value: object) -> None:
        var = self.spec(name)
        assert var.map.content is not None
        try:
            raw = var.codec.pack_value(value)
        except RecordError as error:
            raise RecordError(f"variable `{printable(name)}`: {error}") from error
        var.map.content[var.offset : var.offset + var.size] = raw

    def __contains__(self, name: object) -> bool:
        return name in self._all

    def __delitem__(self, name: str) -> None:
        raise TypeError("variables cannot be deleted")

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)


class RecordLayouts(Mapping[str, RecordLayout]):
    """The layout of each map's records by the map's name, made when it is asked for.

    Asking raises BtfError when the type is no struct or union, or malformed.
    """

    def __init__(self) -> None:
        self._types: dict[str, tuple[Btf, int]] = {}

    def add(self, name: str, btf: Btf, type_id: int) -> None:
        """Enter the type of a map's records."""
        self._types[name] = (btf, type_id)

    def __getitem__(self, name: str) -> RecordLayout:
        return layout_of(*self._types[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._types)

    def __len__(self) -> int:
        return len(self._types)


class ExternSpec(NamedTuple):
    """A symbol that the kernel has to provide.

    Attributes:
        section: ``.kconfig`` or ``.ksyms``.
        type_id: of its VAR or FUNC in the object's BTF, 0 when it has none.
        weak: may be missing.
    """

    name: str
    section: str
    type_id: int
    weak: bool


class ObjectParts:
    """Everything that an object file says. Users see its child `ObjectSpec`, which can also relocate.

    Attributes:
        name: for error messages and map names: the file's name up to its first dot.
        programs, maps, variables, externs: by name.
        data: the maps that hold data sections, by section.
        functions: all code, by section and offset.
        aliases: further names of functions, which make programs of their own.
        btf, btf_ext: None when the object has none.
        records: map name to the layout of its records, from RECORD_TYPE anchors.
        license: what the ``license`` section says.
        kconfig: ``CONFIG_X=y`` lines that win over the running kernel's configuration.
        kernel_version: what the ``version`` section says, or 0.
        big_endian: the object's byte order.
    """

    def __init__(self, name: str, source: str) -> None:
        self.name = name
        self.source = source
        self.license = ""
        self.kernel_version = 0
        self.kconfig = ""
        self.big_endian = False
        self.functions: dict[FunctionKey, Function] = {}
        self.aliases: dict[FunctionKey, list[str]] = {}
        self.programs: dict[str, ProgramSpec] = {}
        self.maps: dict[str, MapSpec] = {}
        self.data: dict[str, MapSpec] = {}
        self.variables = Variables()
        self.externs: dict[str, ExternSpec] = {}
        self.btf: Btf | None = None
        self.btf_ext: BtfExt | None = None
        self.records = RecordLayouts()
        self.calls: dict[FunctionKey, tuple[Function, list[tuple[int, FunctionKey]]]] = {}  # the linker's notes
        self._tags: list[tuple[int, int, str]] | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {printable(self.name)}: {len(self.programs)} programs, {len(self.maps)} maps>"

    def types(self) -> Btf:
        """Its BTF.

        Raises:
            ObjectError: it has none.
        """
        if self.btf is None:
            raise ObjectError(f"{self.source}: no .BTF section: compile with -g")
        return self.btf

    def source_line(self, section: str, offset: int) -> str:
        """``file.c:12: the line`` of the instruction at a byte offset of a section, or ""."""
        if self.btf is None or self.btf_ext is None:
            return ""
        lines = self.btf_ext.lines.get(section)
        line = lines.before(offset) if lines else None
        if line is None:
            return ""
        file, text = self.btf.string(line.file)[-MAX_LINE:], self.btf.string(line.line)[:MAX_LINE].strip()
        return printable(f"{file.rsplit('/', 1)[-1]}:{line.number}: {text}")

    def decl_tags(self) -> list[tuple[int, int, str]]:
        """Its declaration tags: type id, component or -1, text."""
        if self._tags is None:
            self._tags = self.btf.decl_tags() if self.btf else []
        return self._tags
