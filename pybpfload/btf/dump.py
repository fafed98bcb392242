"""BTF as C: one type, or all of them as a header.

`dump_type` writes one type and refers to others by name. `dump_all` writes everything that C can
declare, each type after those that it needs: a struct that is a member has to be complete, one behind a
pointer only has to be known. Offsets and sizes come out as BTF has them, with padding and attributes
where C would do otherwise. Functions, variables and sections are not part of a header.

Recursion is turned into a stack of generators, so that no chain of types is too long for the
interpreter; types that contain themselves and types that take endless text are a `BtfError`.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from typing import Union

from pybpfload.btf import types as t
from pybpfload.btf.blob import Btf
from pybpfload.btf.cnames import Names, UniqueNames, is_builtin, keyword_of
from pybpfload.btf.ctext import Printer, render
from pybpfload.errors import BtfError

__all__ = ["dump_all", "dump_type", "type_name"]

MAX_CHAIN = 4096
MAX_PARTS = 64


class Need(enum.Enum):
    """What the text of a type takes of another."""

    NAME = 0  # a pointer to it
    ELEMENT = 1  # a pointer to an array of it: complete, if that can be
    WHOLE = 2  # it is a member


Step = Union[str, "tuple[int, Need, int]"]


def dump_type(btf: Btf, type_id: int, *, offsets: bool = False) -> str:
    """One type as C; other types are named, anonymous ones written out.

    Args:
        offsets: each member of a struct gets its offset and size in bytes as a comment; a bit-field, the
            number of its first bit in that byte, and its width.

    Raises:
        BtfError: the type is malformed, nests too deep, or takes too much text.
    """
    return render(Printer(btf, Names(), offsets=offsets).declaration(btf.type(type_id)))


def type_name(btf: Btf, type_id: int) -> str:
    """A type as C names it: ``const struct file *``. Bodies are left out: ``struct {...}``.

    Raises:
        BtfError: the type is malformed, or nests too deep.
    """
    return Printer(btf, Names()).brief(type_id)


def dump_all(btf: Btf) -> Iterator[str]:
    """All types as declarations of one header, in an order that compiles.

    Of a base, only what the types of `btf` need. A name that is there twice gets a suffix: ``inode___2``.

    Raises:
        BtfError: as `dump_type`, and for structs that contain themselves.
    """
    return _Header(btf).declarations()


class _Header:
    def __init__(self, btf: Btf) -> None:
        self._btf = btf
        self._names = UniqueNames()
        self._printer = Printer(btf, self._names, flexible=False)
        self._done: set[int] = set()
        self._open: set[int] = set()
        self._whole: set[int] = set()  # typedefs of what is complete
        self._known: set[str] = set()  # tags that are declared

    def declarations(self) -> Iterator[str]:
        inline = self._inline_enums()
        for found in self._btf:
            if isinstance(found, (t.Composite, t.Typedef, t.Fwd)):
                wanted = bool(found.name)
            else:
                wanted = isinstance(found, t.Enum) and (bool(found.name) or found.id not in inline)
            if wanted:
                yield from self._resolve(found.id)

    def _inline_enums(self) -> set[int]:
        """The enums without a name that others write out; the rest just name constants."""
        enums = {e.id for e in self._btf if isinstance(e, t.Enum) and not e.name}
        used: set[int] = set()
        for found in self._btf if enums else ():
            if isinstance(found, t.Composite):
                used.update(enums.intersection(member.type for member in found.members))
            elif isinstance(found, t.FuncProto):
                used.update(enums.intersection([found.type, *(param.type for param in found.params)]))
            elif isinstance(found, (t.Typedef, t.Ptr, t.Array, t.Const, t.TypeTag)) and found.type in enums:
                used.add(found.type)
        return used

    def _resolve(self, type_id: int) -> Iterator[str]:
        stack = [self._needs(type_id, Need.WHOLE, 0)]
        while stack:
            step = next(stack[-1], None)
            if step is None:
                stack.pop()
            elif isinstance(step, str):
                yield step
            else:
                stack.append(self._needs(*step))
                if len(stack) > MAX_CHAIN:
                    raise BtfError(f"{self._btf.name}: type id {type_id} needs a chain of more than {MAX_CHAIN} types")

    def _needs(self, type_id: int, need: Need, owner: int) -> Iterator[Step]:
        """The declarations that have to come first, and then that of the type itself.

        `owner` is the struct whose body asks: it need not be declared for itself.
        """
        for _ in range(MAX_PARTS):
            found = self._btf.type(type_id)
            self._printer.spend("")
            if isinstance(found, t.Ptr):
                need = Need.NAME
            elif isinstance(found, t.Array):
                need = Need.ELEMENT if need is Need.NAME else need
            elif not isinstance(found, (t.Const, t.TypeTag)):
                break
            type_id = found.type
        else:
            raise BtfError(f"{self._btf.name}: type id {type_id} is a declarator of more than {MAX_PARTS} parts")
        if isinstance(found, t.FuncProto):
            for target in (found.type, *(param.type for param in found.params)):
                yield target, Need.NAME, owner
        elif isinstance(found, t.Typedef):
            yield from self._typedef(found, need)
        elif isinstance(found, t.Composite):
            yield from self._composite(found, need, owner)
        elif isinstance(found, t.Fwd):
            yield from self._announce(found)
        elif isinstance(found, t.Enum):
            # An enum without a name is written where it is used, or else for its constants.
            if (found.name or not owner) and found.id not in self._done:
                self._done.add(found.id)
                yield render(self._printer.declaration(found))
        elif isinstance(found, (t.Int, t.Float)) and not is_builtin(found.name) and found.id not in self._done:
            self._done.add(found.id)
            yield f"typedef {_builtin(found)} {self._names.type(found)};"

    def _typedef(self, found: t.Typedef, need: Need) -> Iterator[Step]:
        if found.id not in self._done:
            self._enter(found)
            yield found.type, Need.NAME, found.id
            self._open.discard(found.id)
            self._done.add(found.id)
            yield render(self._printer.declaration(found))
        if need is not Need.NAME and found.id not in self._whole:
            self._whole.add(found.id)
            yield found.type, need, found.id

    def _composite(self, found: t.Composite, need: Need, owner: int) -> Iterator[Step]:
        if not found.name:
            self._enter(found)
            for member in found.members:
                yield member.type, Need.WHOLE, owner
            self._open.discard(found.id)
        elif need is Need.NAME:
            if found.id != owner:
                yield from self._announce(found)
        elif found.id not in self._done and not (need is Need.ELEMENT and found.id in self._open):
            self._enter(found)
            for member in found.members:
                yield member.type, Need.WHOLE, found.id
            self._open.discard(found.id)
            self._done.add(found.id)
            self._known.add(self._tag(found))
            yield render(self._printer.declaration(found))

    def _announce(self, found: t.Composite | t.Fwd) -> Iterator[str]:
        tag = self._tag(found)
        if tag not in self._known:
            self._known.add(tag)
            yield f"{tag};"

    def _tag(self, found: t.Composite | t.Fwd) -> str:
        return self._printer.spend(f"{keyword_of(found)} {self._names.tag(found)}")

    def _enter(self, found: t.Composite | t.Typedef) -> None:
        if found.id in self._open:
            raise BtfError(f"{self._btf.name}: type id {found.id} ({self._btf.describe(found.id)}) contains itself")
        self._open.add(found.id)


def _builtin(found: t.Int | t.Float) -> str:
    """A type of C that is like a base type that C has not."""
    if isinstance(found, t.Float):
        return {4: "float", 8: "double"}.get(found.size, "long double")
    if found.is_bool and found.size == 1:
        return "_Bool"
    word = {1: "char", 2: "short", 4: "int", 8: "long long", 16: "__int128"}.get(found.size, "int")
    return f"{'signed' if found.signed else 'unsigned'} {word}"
