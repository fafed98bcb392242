"""Names for C text: what BTF calls a thing, as an identifier that a compiler takes.

BTF may hold any string as a name, and one name twice: a kernel has two structs `inode` when two files
each define their own. In one header, each needs a name of its own; the second becomes ``inode___2``,
which CO-RE takes for a flavour of `inode`.
"""

from __future__ import annotations

import re
from typing import Union

from pybpfload.btf import types as t
from pybpfload.btf.types import Kind
from pybpfload.errors import printable

__all__ = ["Names", "UniqueNames", "comment", "identifier", "is_builtin", "keyword_of", "literal"]

# As of gnu17, whose compilers also reserve the names without underscores.
KEYWORDS = frozenset(
    """
    asm auto break case char const continue default do double else enum extern float for goto if inline int long
    register restrict return short signed sizeof static struct switch typedef typeof union unsigned void volatile while
    _Alignas _Alignof _Atomic _Bool _Complex _Generic _Imaginary _Noreturn _Static_assert _Thread_local
    __asm__ __attribute__ __auto_type __builtin_va_list __const __const__ __extension__ __inline __inline__ __int128
    __label__ __restrict __restrict__ __signed __signed__ __thread __typeof __typeof__ __volatile __volatile__
    _Float16 _Float32 _Float64 _Float128 __bf16 __float128
    """.split()
)
BUILTIN_WORDS = frozenset("char short int long unsigned signed float double _Bool __int128".split())
BAD = re.compile(r"[^A-Za-z0-9_]")

Tagged = Union[t.Composite, t.Enum, t.Fwd]


def identifier(name: str) -> str:
    """The name as a C identifier; characters that none may have become ``_x2d_``."""
    name = BAD.sub(lambda m: f"_x{ord(m[0]):02x}_", name)
    if not name or name[0].isdigit():
        name = f"_{name}"
    return f"{name}_" if name in KEYWORDS else name


def is_builtin(name: str) -> bool:
    """Whether C has a type of this name by itself: ``long unsigned int``."""
    words = name.split(" ")
    return all(word in BUILTIN_WORDS for word in words) and bool(name)


def literal(text: str) -> str:
    """A C string literal of ASCII. In attributes these have no numeric escapes: what C cannot say is spelled out."""
    plain = printable(text).encode("ascii", "backslashreplace").decode("ascii")
    return '"{}"'.format(plain.replace("\\", "\\\\").replace('"', '\\"'))


def comment(text: str) -> str:
    """Text that can stand in a C comment."""
    return printable(text).replace("*/", "*\\/").replace("/*", "/\\*")


def keyword_of(found: Tagged) -> str:
    """``struct``, ``union`` or ``enum``."""
    if isinstance(found, t.Fwd):
        return "union" if found.is_union else "struct"
    return {Kind.STRUCT: "struct", Kind.UNION: "union"}.get(found.kind, "enum")


class Names:
    """Names as they are, for a type that stands alone."""

    def tag(self, found: Tagged) -> str:
        """The name of a struct, union or enum."""
        return identifier(found.name)

    def type(self, found: t.Typedef | t.Int | t.Float) -> str:
        """The name of a typedef or base type."""
        return found.name if is_builtin(found.name) else identifier(found.name)

    def enumerator(self, name: str) -> str:
        """The name of an enumerator that is about to be printed."""
        return identifier(name)

    def param(self, name: str) -> str:
        """The name of a parameter, or ""."""
        return identifier(name) if name else ""


class UniqueNames(Names):
    """Names of one header: none of them stands for two things."""

    def __init__(self) -> None:
        self._tags: dict[int, str] = {}
        self._tag_owners: dict[str, tuple[str, bool]] = {}  # name -> keyword, whether it is only declared
        self._types: dict[int, str] = {}
        self._ordinary: set[str] = set()
        self._counts: dict[str, int] = {}

    def tag(self, found: Tagged) -> str:
        """A forward declaration and the definition that it may stand for share their name."""
        name = self._tags.get(found.id)
        if name is None:
            name = self._tags[found.id] = self._claim_tag(found)
        return name

    def _claim_tag(self, found: Tagged) -> str:
        wanted, keyword = identifier(found.name), keyword_of(found)
        forward = isinstance(found, t.Fwd) or (isinstance(found, t.Enum) and not found.values)
        owner = self._tag_owners.get(wanted)
        if owner is not None and (owner[0] != keyword or not (forward or owner[1])):
            wanted = self._next(wanted, self._tag_owners)
        elif owner is not None:
            forward = forward and owner[1]
        self._tag_owners[wanted] = (keyword, forward)
        return wanted

    def type(self, found: t.Typedef | t.Int | t.Float) -> str:
        """The same for each use of one type."""
        if not isinstance(found, t.Typedef) and is_builtin(found.name):
            return found.name
        name = self._types.get(found.id)
        if name is None:
            name = self._types[found.id] = self._claim(found.name)
        return name

    def enumerator(self, name: str) -> str:
        """A new name each time."""
        return self._claim(name)

    def param(self, name: str) -> str:
        """Left out where it would hide a type that the next parameter needs."""
        name = super().param(name)
        return "" if name in self._ordinary else name

    def _claim(self, name: str) -> str:
        name = identifier(name)
        if name in self._ordinary:
            name = self._next(name, self._ordinary)
        self._ordinary.add(name)
        return name

    def _next(self, name: str, taken: set[str] | dict[str, tuple[str, bool]]) -> str:
        count = self._counts.get(name, 1) + 1
        while f"{name}___{count}" in taken:
            count += 1
        self._counts[name] = count
        return f"{name}___{count}"
