"""BTF as C when the BTF is hostile: names that are no names, two of one name, types without end."""

from __future__ import annotations

import re

import pytest

from pybpfload.btf import Btf, Kind
from pybpfload.btf import types as t
from pybpfload.btf.cnames import comment, identifier, literal
from pybpfload.btf.dump import dump_all, dump_type
from pybpfload.errors import BtfError
from tests.support.headers import compile_text
from tests.support.types import Types


def header(btf: Btf) -> str:
    """All of it, as one text."""
    return "\n\n".join(dump_all(btf)) + "\n"


# Names --------------------------------------------------------------------------------------------


def test_dump_all_gives_each_of_two_equal_names_its_own(tmp_path):
    """A flavour for the second struct; users of each keep theirs. Enumerators and typedefs, too."""
    made = Types()
    number, wide = made.int(), made.int("long long", 8)
    first = made.struct("twin", 4, ("a", number, 0))
    second = made.struct("twin", 8, ("b", wide, 0))
    made.struct("both", 16, ("x", first, 0), ("y", second, 8))
    made.enum("one", ("SAME", 1))
    made.enum("two", ("SAME", 2))
    made.typedef("alias", number)
    made.typedef("alias", wide)
    made.struct("alias", 4, ("alias", number, 0))
    btf = made.btf()
    text = header(btf)
    assert "    struct twin x;\n    struct twin___2 y;" in text
    assert "    SAME___2 = 2," in text
    assert "typedef long long alias___2;" in text
    assert "struct alias {" in text
    compile_text(text, tmp_path)


def test_dump_all_forward_declaration_shares_the_name_of_the_struct():
    """What one file only declares is what the other defines."""
    made = Types()
    fwd = made.add(lambda i: t.Fwd(i, "s", False))
    made.struct("user", 8, ("p", made.ptr(fwd), 0))
    made.struct("s", 4, ("a", made.int(), 0))
    made.struct("t", 8, ("p", made.ptr(made.add(lambda i: t.Fwd(i, "s", True))), 0))
    text = header(made.btf())
    assert text.count("struct s;") == 1
    assert "struct s {" in text
    assert "union s___2 *p;" in text


def test_dump_all_parameter_does_not_hide_a_type(tmp_path):
    """`int f(u32 u32, u32 x)` would be an error at its second parameter: such names are left out."""
    made = Types()
    number = made.typedef("u32", made.int())
    proto = made.add(lambda i: t.FuncProto(i, number, (t.Param("u32", number), t.Param("x", number))))
    made.typedef("callback", made.ptr(proto))
    text = header(made.btf())
    assert "typedef u32 (*callback)(u32, u32 x);" in text
    compile_text(text, tmp_path)


def test_dump_all_leaves_out_restrict_of_what_is_no_pointer(tmp_path):
    """A compiler would refuse it."""
    made = Types()
    number = made.int()
    made.typedef("alias", made.add(lambda i: t.Const(i, Kind.RESTRICT, number)))
    assert list(dump_all(made.btf())) == ["typedef int alias;"]


HOSTILE = [
    "a b", "x*/ int y; /*", "int", "1st", "", "naïve", "a\nb", "#include", 'q"', "\x1b[31m", "__builtin_va_list", "a'b",
]  # fmt: skip


def test_dump_all_of_hostile_names_still_compiles(tmp_path):
    """Whatever BTF calls its types, members, enumerators and tags: the text is C, and says nothing else."""
    made = Types()
    number = made.int("u 32")
    for i, name in enumerate(filter(None, HOSTILE)):
        one = made.struct(name, 8, (name, number, 0), ("y", number, 4))
        made.typedef(name, one)
        made.enum(name, (name, i), (f"{name} too", i + 1))
        made.add(lambda n, one=one, name=name: t.DeclTag(n, name, one, -1))
        made.struct(f"s{i}", 8, ("p", made.ptr(made.add(lambda n, name=name: t.TypeTag(n, name, number, True))), 0))
    text = header(made.btf())
    assert text.replace("\n", "").isprintable()
    assert text.isascii()
    compile_text(text, tmp_path, flags=["-Wno-unknown-attributes"])


@pytest.mark.parametrize("name", HOSTILE)
def test_identifier_is_one(name):
    """Letters, digits and underscores, no keyword, not empty."""
    assert re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", identifier(name))
    assert identifier(name) not in ("int", "__builtin_va_list")


def test_identifier_keeps_different_names_different():
    """A space and a dash are not the same underscore."""
    assert len({identifier(x) for x in ("a b", "a-b", "a_b", "a.b")}) == 4


def test_comment_cannot_be_left():
    """No text ends the comment that it stands in."""
    assert "*/" not in comment("x */ y")
    assert "\n" not in comment("a\nb")


def test_literal_is_ascii_and_closed():
    """Quotes and backslashes are escaped; what is not ASCII is spelled out."""
    assert literal('a"\\\n€') == r'''"a\"\\\\n\\u20ac"'''


# Limits -------------------------------------------------------------------------------------------


def bombs() -> dict[str, Types]:
    """BTF that has no end, or too late a one."""
    found = {}
    made = found["struct in itself"] = Types()
    made.add(lambda i: t.Composite(i, Kind.STRUCT, "s", 8, (t.Member("s", i, 0, 0),)))
    made = found["anonymous struct in itself"] = Types()
    made.add(lambda i: t.Typedef(i, "t", 2))
    made.add(lambda i: t.Composite(i, Kind.STRUCT, "", 8, (t.Member("", i, 0, 0),)))
    made = found["anonymous struct with a pointer to itself"] = Types()
    made.add(lambda i: t.Ptr(i, 2))
    made.add(lambda i: t.Composite(i, Kind.STRUCT, "", 8, (t.Member("p", 1, 0, 0),)))
    made.add(lambda i: t.Typedef(i, "t", 2))
    made = found["typedef of itself"] = Types()
    made.add(lambda i: t.Typedef(i, "t", i))
    made = found["typedef of a pointer to itself"] = Types()
    made.add(lambda i: t.Typedef(i, "t", 2))
    made.add(lambda i: t.Ptr(i, 1))
    made = found["pointer to itself"] = Types()
    made.add(lambda i: t.Ptr(i, i))
    made.typedef("t", 1)
    made = found["function that takes itself"] = Types()
    made.add(lambda i: t.FuncProto(i, 0, (t.Param("f", i), t.Param("g", i))))
    made.typedef("t", made.ptr(1))
    made = found["anonymous structs that double"] = Types()
    inner = made.int()
    for _ in range(40):
        inner = made.struct("", 4, ("", inner, 0), ("", inner, 0), kind=Kind.UNION)
    made.struct("s", 4, ("x", inner, 0))
    made = found["functions that double"] = Types()
    inner = made.int()
    for _ in range(40):
        inner = made.ptr(made.add(lambda i, inner=inner: t.FuncProto(i, inner, (t.Param("", inner),) * 2)))
    made.typedef("t", inner)
    made = found["a long name, often"] = Types()
    inner = made.int("x" * 20_000)
    made.struct("s", 4 * 5000, *((f"m{i}", inner, 4 * i) for i in range(5000)))
    made = found["a member that is a section"] = Types()
    made.add(lambda i: t.Datasec(i, ".data", 4, ()))
    made.struct("s", 4, ("x", 1, 0))
    return found


BOMBS = bombs()


@pytest.mark.parametrize("name", BOMBS)
def test_dump_all_of_a_bomb_is_refused(name):
    """An error, and soon: not a hang, not a RecursionError."""
    with pytest.raises(BtfError):
        sum(map(len, dump_all(BOMBS[name].btf())))


@pytest.mark.parametrize("name", BOMBS)
def test_dump_type_of_a_bomb_ends(name):
    """One type at a time: a text of bounded size, or an error."""
    btf = BOMBS[name].btf()
    for type_id in range(len(btf)):
        try:
            assert len(dump_type(btf, type_id, offsets=True)) < 4_000_000
        except BtfError:
            continue


def test_dump_all_of_a_long_chain_of_members_is_written():
    """Structs within structs, deeper than Python calls: legal, as long as no single type nests so deep."""
    made = Types()
    inner = made.int()
    for i in range(60):
        inner = made.struct(f"s{i}", 4, ("x", inner, 0))
    assert header(made.btf()).count("struct s") == 60 + 59


def test_dump_type_of_members_that_overlap_says_so():
    """C cannot express it, but the text does not hide it."""
    made = Types()
    number = made.int()
    one = made.struct("s", 8, ("a", number, 0), ("b", number, 2), ("c", number, 4))
    lines = dump_type(made.btf(), one).splitlines()
    assert [line.strip() for line in lines if "overlaps" in line] == [
        "int b;  /*     2     4, overlaps */",
        "int c;  /*     4     4, overlaps */",
    ]
