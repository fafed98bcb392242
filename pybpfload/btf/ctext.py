"""The C text of BTF types: declarators, structs, enums.

A declarator is built from the inside out: a pointer puts a star in front of what is there, an array or
a prototype comes behind it, with parentheses where a star would bind to the wrong side. What is left
in the end is the base: a name, or the body of a struct or enum without one.

Invariants: nothing recurses deeper than MAX_DEPTH; every piece of text is paid for from a budget that
grows with the BTF, so that a blob of a kilobyte cannot ask for a gigabyte of text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple, Union

from pybpfload.btf import types as t
from pybpfload.btf.blob import Btf
from pybpfload.btf.clayout import Layouts, Slot
from pybpfload.btf.cnames import Names, comment, identifier, keyword_of, literal
from pybpfload.btf.types import Kind
from pybpfload.errors import BtfError

__all__ = ["Line", "Printer", "render"]

MAX_DEPTH = 64
STEP_COST = 24  # of looking at one type, in characters
FREE = 1 << 18  # characters that any BTF may have
PER_BYTE = 8  # ... and for each byte of it
INDENT = "    "
NOTE_COLUMN = 56
QUALIFIERS = {Kind.CONST: "const", Kind.VOLATILE: "volatile", Kind.RESTRICT: "restrict"}
MODES = {1: "byte", 2: "HI", 4: "SI", 8: "DI"}
ATTRIBUTE = re.compile(r"[a-z_]\w*(\([\w, ]*\))?", re.ASCII)

Base = Union[t.Void, t.Int, t.Float, t.Composite, t.Enum, t.Fwd, t.Typedef]


class Line(NamedTuple):
    """One line: how deep it is indented, and a comment behind it."""

    depth: int
    text: str
    note: str = ""


def render(lines: Sequence[Line]) -> str:
    """Lines as text; comments stand in one column."""
    widths = [len(line.text) + len(INDENT) * line.depth for line in lines if line.note]
    column = min(max(widths, default=0), NOTE_COLUMN)
    out = []
    for line in lines:
        text = INDENT * line.depth + line.text
        out.append(f"{text:<{column}}  /* {line.note} */" if line.note else text)
    return "\n".join(out)


class Printer:
    """Writes types of one `Btf` as C.

    Args:
        names: how things are called.
        offsets: whether members get their offset and size as a comment.
        flexible: whether flexible arrays are written as such, ``[]``: within other structs, compilers warn of them.
    """

    def __init__(self, btf: Btf, names: Names, *, offsets: bool = False, flexible: bool = True) -> None:
        self._btf = btf
        self._names = names
        self._offsets = offsets
        self._flexible = flexible
        self._layouts = Layouts(btf)
        self._left = FREE + PER_BYTE * len(btf.data)
        self._holes = 0
        self._tags: dict[tuple[int, int], list[str]] | None = None

    def spend(self, text: str) -> str:
        """The text, paid for.

        Raises:
            BtfError: the budget is used up.
        """
        self._left -= STEP_COST + len(text)
        if self._left < 0:
            raise BtfError(f"{self._btf.name}: its types take more text as C than BTF of this size may")
        return text

    # Declarators ----------------------------------------------------------------------------------

    def declare(
        self, type_id: int, name: str, depth: int = 0, *, flexible: bool = False, base_bits: int = 0
    ) -> list[Line]:
        """`name` as something of a type, without the semicolon; several lines when the type has a body.

        Args:
            flexible: an array without elements is a flexible one, not one of no elements.
            base_bits: where it lies, for the offsets in a body.
        """
        found, head, inner = self._unwind(type_id, name, depth, flexible)
        space = " " if inner and not inner.startswith("[") else ""
        if isinstance(found, (t.Composite, t.Enum)) and not found.name:
            lines = self.body(found, depth, 0 if "*" in inner else base_bits)
            lines[0] = lines[0]._replace(text=head + lines[0].text)
            lines[-1] = lines[-1]._replace(text=lines[-1].text + space + inner)
            return lines
        return [Line(depth, self.spend(f"{head}{self._base(found)}{space}{inner}"))]

    def inline(self, type_id: int, name: str = "", depth: int = 0) -> str:
        """As `declare`, in one line: ``const struct file *f``."""
        return " ".join(line.text for line in self.declare(type_id, name, depth))

    def brief(self, type_id: int) -> str:
        """The name of a type; the bodies of structs and enums without one are left out."""
        found, head, inner = self._unwind(type_id, "", 0, False)
        space = " " if inner and not inner.startswith("[") else ""
        if isinstance(found, (t.Composite, t.Enum)) and not found.name:
            return f"{head}{keyword_of(found)} {{...}}{space}{inner}"
        return f"{head}{self._base(found)}{space}{inner}"

    def _unwind(self, type_id: int, inner: str, depth: int, flexible: bool) -> tuple[Base, str, str]:
        """The base of a type, what stands before it, and the declarator behind it."""
        quals: list[str] = []
        for _ in range(MAX_DEPTH):
            found = self._btf.type(type_id)
            self.spend("")
            flexible = flexible and isinstance(found, (t.Const, t.TypeTag, t.Array))
            if isinstance(found, t.Const):
                if found.kind is not Kind.RESTRICT or isinstance(self._btf.skip(found.type), t.Ptr):
                    quals.append(QUALIFIERS[found.kind])
            elif isinstance(found, t.TypeTag):
                quals.append(self._attribute("btf_type_tag", found.name, plain=found.is_attribute))
            elif isinstance(found, t.Ptr):
                text = " ".join(dict.fromkeys(quals))
                inner, quals = f"*{text}{' ' if text and inner else ''}{inner}", []
            elif isinstance(found, t.Array):
                inner = f"({inner})" if inner.startswith("*") else inner
                inner += "[]" if flexible and not found.nelems else f"[{found.nelems}]"
                flexible = False
            elif isinstance(found, t.FuncProto):
                inner = f"({inner})" if inner.startswith("*") else inner
                # C has no qualified functions; the qualifiers meant attributes that no call depends on.
                inner, quals = f"{inner}({self._params(found, depth)})", []
            elif isinstance(found, (t.Void, t.Int, t.Float, t.Composite, t.Enum, t.Fwd, t.Typedef)):
                return found, "".join(f"{q} " for q in dict.fromkeys(quals)), inner
            else:
                raise BtfError(f"{self._btf.name}: nothing can be of type {type_id} ({self._btf.describe(type_id)})")
            type_id = found.type
        raise BtfError(f"{self._btf.name}: type id {type_id} is a declarator of more than {MAX_DEPTH} parts")

    def _params(self, proto: t.FuncProto, depth: int, func: int = 0) -> str:
        if depth >= MAX_DEPTH:
            raise BtfError(f"{self._btf.name}: type id {proto.id}: prototypes nest deeper than {MAX_DEPTH}")
        parts: list[str] = []
        for i, param in enumerate(proto.params):
            if not param.type and not param.name and i == len(proto.params) - 1:
                parts.append("..." if parts else "")  # by itself, what C calls no prototype
            else:
                text = self.inline(param.type, self._names.param(param.name), depth + 1)
                parts.append(text + self._decl_tags(func, i))
        return ", ".join(parts) if parts else "void"

    def _base(self, found: Base) -> str:
        if isinstance(found, t.Void):
            return "void"
        if isinstance(found, (t.Composite, t.Enum, t.Fwd)):
            return f"{keyword_of(found)} {self._names.tag(found)}"
        return self._names.type(found)

    def _attribute(self, name: str, text: str, *, plain: bool = False) -> str:
        if plain and ATTRIBUTE.fullmatch(text):
            return f"__attribute__(({text}))"
        return f"__attribute__(({name}({literal(self.spend(text))})))"

    def _decl_tags(self, type_id: int, component: int = -1) -> str:
        """The declaration tags of a type, or of its member or parameter."""
        if not type_id:
            return ""
        if self._tags is None:
            self._tags = {}
            for found in self._btf.of_kind(Kind.DECL_TAG):
                assert isinstance(found, t.DeclTag)
                self._tags.setdefault((found.type, found.component), []).append(found.name)
        texts = self._tags.get((type_id, component), ())
        return "".join(" " + self._attribute("btf_decl_tag", text) for text in texts)

    # Bodies ---------------------------------------------------------------------------------------

    def body(self, found: t.Composite | t.Enum, depth: int, base_bits: int = 0, *, tagged: bool = True) -> list[Line]:
        """From ``struct name {`` to the closing brace with its attributes."""
        if depth > MAX_DEPTH:
            raise BtfError(f"{self._btf.name}: type id {found.id}: anonymous types nest deeper than {MAX_DEPTH}")
        head = keyword_of(found) + (f" {self._names.tag(found)}" if found.name and tagged else "")
        if isinstance(found, t.Enum):
            return self._enum(found, head, depth)
        plan = self._layouts.plan(found)
        attributes = ["packed"] if plan.packed else []
        if plan.aligned:
            attributes.append(f"aligned({plan.aligned})")
        end = f" __attribute__(({', '.join(attributes)}))" if attributes else ""
        end += self._decl_tags(found.id)
        lines = [Line(depth, self.spend(f"{head} {{"))]
        for i, slot in enumerate(plan.slots):
            lines += self._padding(slot.padding, slot.gap, depth + 1)
            lines += self._member(found, i, slot, depth + 1, base_bits)
        lines += self._padding(plan.tail, plan.gap, depth + 1)
        if len(lines) == 1:
            return [Line(depth, f"{head} {{}}{end}")]
        return [*lines, Line(depth, f"}}{end}")]

    def _member(self, owner: t.Composite, i: int, slot: Slot, depth: int, base_bits: int) -> list[Line]:
        inner = self._btf.skip(slot.type)
        bits = base_bits + slot.bit_offset
        if not slot.name and isinstance(inner, t.Composite):
            # Also of a struct with a name, as -fms-extensions has it: without, C would declare nothing.
            lines = self.body(inner, depth, bits, tagged=False)
        else:
            last = self._flexible and owner.kind is Kind.STRUCT and i == len(owner.members) - 1 and i > 0
            lines = self.declare(slot.type, identifier(slot.name), depth, flexible=last, base_bits=bits)
        end = f" : {slot.bits}" if slot.bits else ""
        end += f" __attribute__((aligned({slot.aligned})))" if slot.aligned else ""
        end += self._decl_tags(owner.id, i) + ";"
        note = self._note(slot, base_bits) if self._offsets or slot.misplaced else ""
        lines[-1] = lines[-1]._replace(text=lines[-1].text + end, note=note)
        return lines

    def _note(self, slot: Slot, base_bits: int) -> str:
        byte, bit = divmod(base_bits + slot.bit_offset, 8)
        if slot.bits or bit:
            note = f"{byte:>5}:{bit} {slot.bits or slot.size * 8} bit{'s' if slot.bits != 1 else ''}"
        else:
            note = f"{byte:>5} {slot.size:>5}"
        return f"{note}, overlaps" if slot.misplaced else note

    def _padding(self, padding: Sequence[tuple[int, int]], gap: int, depth: int) -> list[Line]:
        """What fills a gap; where nothing has to, a remark that there is one."""
        if self._offsets and gap and not padding:
            size = f"{gap // 8} byte{'s' * (gap != 8)}" if gap % 8 == 0 else f"{gap} bit{'s' * (gap != 1)}"
            return [Line(depth, f"/* hole of {size} */")]
        lines = []
        for bits, count in padding:
            if count:
                self._holes += 1
                lines.append(Line(depth, self.spend(f"unsigned char __hole{self._holes}[{count}];")))
            else:
                lines.append(Line(depth, self.spend(f"{'char' if bits < 8 else 'long long'} : {bits};")))
        return lines

    def _enum(self, found: t.Enum, head: str, depth: int) -> list[Line]:
        if not found.values:
            return [Line(depth, self.spend(f"{head} {{ {self._names.enumerator('__none')} }}"))]
        lines = [Line(depth, self.spend(f"{head} {{"))]
        for value in found.values:
            name = self._names.enumerator(value.name)
            lines.append(Line(depth + 1, self.spend(f"{name} = {_number(value.value)},")))
        low, high = min(v.value for v in found.values), max(v.value for v in found.values)
        # What a compiler takes by itself: four bytes if all values fit, else eight.
        natural = 4 if low >= -(1 << 31) and high < 1 << (31 if low < 0 else 32) else 8
        mode = MODES.get(found.size) if found.size != natural else None
        end = f" __attribute__((mode({mode})))" if mode else ""
        return [*lines, Line(depth, f"}}{end}{self._decl_tags(found.id)}")]

    # Whole declarations ---------------------------------------------------------------------------

    def declaration(self, found: t.Type) -> list[Line]:
        """A type as C declares it; types that C has no declaration for are just named."""
        if isinstance(found, (t.Composite, t.Enum)) and not (isinstance(found, t.Enum) and is_forward(found)):
            return _closed(self.body(found, 0))
        if isinstance(found, (t.Fwd, t.Enum)):
            return [Line(0, f"{self._base(found)};")]
        if isinstance(found, t.Typedef):
            lines = self.declare(found.type, self._names.type(found))
            lines[0] = lines[0]._replace(text=f"typedef {lines[0].text}")
            return _closed(lines, self._decl_tags(found.id))
        if isinstance(found, t.Func):
            proto = self._btf.type(found.type)
            if not isinstance(proto, t.FuncProto):
                raise BtfError(f"{self._btf.name}: type id {found.id}: the function has no prototype")
            name = f"{identifier(found.name)}({self._params(proto, 0, found.id)})"
            lines = self.declare(proto.type, name)
            return _closed(_linked(lines, found.linkage), self._decl_tags(found.id))
        if isinstance(found, t.Var):
            lines = self.declare(found.type, identifier(found.name))
            return _closed(_linked(lines, found.linkage), self._decl_tags(found.id))
        if isinstance(found, t.Datasec):
            return self._datasec(found)
        if isinstance(found, t.DeclTag):
            part = f"component {found.component} of " if found.component >= 0 else ""
            text = (
                f"/* btf_decl_tag({comment(literal(found.name))}) of {part}{comment(self._btf.describe(found.type))} */"
            )
            return [Line(0, self.spend(text))]
        if isinstance(found, t.Unknown):
            return [Line(0, f"/* a type of unknown kind {found.raw_kind} */")]
        return self.declare(found.id, "")

    def _datasec(self, found: t.Datasec) -> list[Line]:
        lines = [Line(0, self.spend(f"/* section {comment(found.name)}: {found.size} bytes */"))]
        for entry in found.vars:
            var = self._btf.type(entry.type)
            if not isinstance(var, (t.Var, t.Func)):
                raise BtfError(f"{self._btf.name}: type id {found.id} lists type {entry.type}, no variable or function")
            made = self.declaration(var)
            made[-1] = made[-1]._replace(note=f"{entry.offset:>5} {entry.size:>5}")
            lines += made
        return lines


def is_forward(found: t.Enum) -> bool:
    """Whether an enum is declared only."""
    return bool(found.name) and not found.values


def _linked(lines: list[Line], linkage: int) -> list[Line]:
    word = {t.Linkage.STATIC: "static ", t.Linkage.EXTERN: "extern "}.get(t.Linkage(linkage), "") if linkage < 3 else ""
    return [lines[0]._replace(text=word + lines[0].text), *lines[1:]]


def _closed(lines: list[Line], end: str = "") -> list[Line]:
    return [*lines[:-1], lines[-1]._replace(text=f"{lines[-1].text}{end};")]


def _number(value: int) -> str:
    """An integer constant of a type that holds it."""
    if value == -(1 << 63):
        return "-9223372036854775807LL - 1"
    if -(1 << 31) <= value < 1 << 32:
        return str(value)
    return f"{value}ULL" if value >= 1 << 63 else f"{value}LL"
