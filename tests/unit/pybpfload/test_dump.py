"""BTF as C: read by eye here, and by a compiler."""

from __future__ import annotations

import random
import re
import subprocess

import pytest

from pybpfload.btf import Btf, Kind
from pybpfload.btf import types as t
from pybpfload.btf.dump import dump_all, dump_type, type_name
from pybpfload.targets import read_btf
from tests.support.gates import require_tool
from tests.support.headers import anchored, assertions, compile_text, compiled, meaning, names_of
from tests.support.objects import DATA, path_of
from tests.support.types import Types, split_struct

OBJECTS = sorted(p.name.split(".")[0] for p in DATA.glob("*.bpf.o"))


def header(btf: Btf) -> str:
    """All of it, as one text."""
    return "\n\n".join(dump_all(btf)) + "\n"


# What C says, BTF keeps, and we have to say again: compiled, dumped, and compiled again.
SOURCES = {
    "pointers": "struct s { int *a; const char *b; char *const c; const char *const *volatile d; void **e; };",
    "restrict": "struct s { int *restrict a; char *restrict *b; };",
    "arrays": "struct s { int a[3]; int b[2][5]; const char c[4]; char *d[3]; char (*e)[3]; int (*f[2])[7]; };",
    "functions": """
        struct s { int (*a)(void); void (*b)(int, char *); int *(*c)(long); int (*(*d)(int))(char);
        int (*e[3])(const char *, ...); void (*(*f)[2])(void); int (*g)(int (*)(void), struct s *); };""",
    "typedefs": """
        typedef int number; typedef number *numbers; typedef int (*callback)(numbers); typedef char text[16];
        typedef const number fixed; typedef struct { number a; } bare; typedef struct bare bare_t;
        struct bare { text a; fixed b; callback c; }; struct s { bare a; bare_t b; bare_t *c; };
        numbers *first; callback *second; fixed *third;""",
    "recursive": """
        struct b; struct a { struct b *b; struct a *next; }; struct b { struct a a; }; struct c { struct b b; };""",
    "behind array": "struct e { int x; }; struct s { struct e (*rows)[4]; struct e one; };",
    "anonymous": """
        struct s { union { int a; struct { short b; char c; }; }; struct { int d; } e, *f; union { long g; } h[3];
        const struct { int i; } j; struct { struct { int k; } l; } *m; };""",
    "bit-fields": """
        struct a { int a : 3; int b : 5; int : 0; unsigned c : 31; unsigned long long d : 33; char e; };
        struct b { unsigned a : 7; unsigned : 9; unsigned b : 4; _Bool c : 1; enum { X, Y } d : 2; short e : 9; };
        union u { int a : 3; unsigned b : 17; };""",
    "packed bit-fields": """
        struct c { char a; int b : 20; char c; long long d : 40; } __attribute__((packed));
        struct d { char a; short b : 12; int c : 30; struct { int d : 5; } e; char f; } __attribute__((packed));""",
    "alignment": """
        struct a { char a; long b; short c; }; struct b { char a; long b __attribute__((aligned(32))); };
        struct c { char a; long b; } __attribute__((packed)); struct d { int a; } __attribute__((aligned(64)));
        struct e { char a; struct c b; int c; struct d d; char e; };
        struct f { char a; int b; } __attribute__((packed, aligned(2))); struct g { char a; struct f f; };
        union h { char a[3]; short b; } __attribute__((packed));
        union i { char a; } __attribute__((aligned(8)));
        struct j { long a; int : 32; int b; int : 32; int : 32; int c; };
        struct k { char a; int b[0]; char c; }; struct l {}; struct m { struct l l; int a; };""",
    "big gaps": "struct a { char a; char b[0] __attribute__((aligned(4096))); }; struct b { int a; struct a b; };",
    "flexible": "struct a { int n; char data[]; }; struct b { int n; struct { struct {} e; long rows[]; }; };",
    "enums": """
        enum small { NO, YES = 5, NEG = -2147483647 - 1 }; enum top { TOP = 0xffffffff };
        enum wide { W = 1ULL << 40 }; enum negative { N = -9223372036854775807LL - 1, O = 1 };
        enum byte { B = 255 } __attribute__((mode(byte))); enum half { H = 70000 / 2 } __attribute__((mode(HI)));
        enum huge { HUGE = 0xffffffffffffffffULL };
        struct s { enum small a; enum top b; enum wide c; enum negative d; enum byte e; enum half f; enum huge g;
        enum { INLINE = 3 } h; };""",
    "numbers": """
        struct s { _Bool a; char b; signed char c; unsigned char d; short e; unsigned short f; unsigned g; long h;
        unsigned long i; long long j; unsigned long long k; __int128 l; unsigned __int128 m; float n; double o; };""",
    "tags": """
        #define user __attribute__((btf_type_tag("user")))
        #define tagged(x) __attribute__((btf_decl_tag(x)))
        struct s { int user *a; char user *user *b; int c tagged("a \\"quoted\\" \\\\ text"); } tagged("whole");
        typedef int number tagged("alias"); number *first;""",
    "no prototype": "struct s { unsigned long (*old)(); int (*new)(void); };",
    "unions": "union u { int a; char b[7]; struct { long c; } d; union u *e; }; struct s { union u u; };",
    "forward": "struct unknown; union other; struct s { struct unknown *a; union other *b; };",
}  # fmt: skip


@pytest.mark.parametrize("name", SOURCES)
def test_dump_all_compiled_again_means_the_same(name, tmp_path):
    """C to BTF to C to BTF: every member keeps its name, type, place and width, and every value its number."""
    source = SOURCES[name]
    flags = ["-Wno-gnu", "-Wno-deprecated-non-prototype", "-Wno-strict-prototypes"]
    tags = dict.fromkeys(re.findall(r"\b((?:struct|union|enum) \w+) {", source))
    before = compiled(anchored(source, tags), tmp_path, flags=flags)
    assert [x for x in tags if x not in meaning(before)] == []
    text = header(before)
    after = compiled(anchored(text, names_of(before)), tmp_path, flags=flags)
    assert meaning(after) == meaning(before)
    assert ("packed" in text) == ("packed" in source)
    tags_of = lambda btf: sorted((btf.type(i).name, c, x) for i, c, x in btf.decl_tags())  # noqa: E731
    assert tags_of(after) == tags_of(before)


@pytest.mark.parametrize("name", OBJECTS)
def test_dump_all_of_an_object_means_what_bpftool_writes(name, tmp_path):
    """Our header and that of bpftool, compiled, say the same of each type; and the same as the object."""
    made = subprocess.run(
        [require_tool("bpftool"), "btf", "dump", "file", str(path_of(name)), "format", "c"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    btf = read_btf(path_of(name))
    ours = compiled(anchored(header(btf), names_of(btf)), tmp_path)
    theirs = compiled(anchored(made.stdout, names_of(btf)), tmp_path, flags=["-Wno-pragma-clang-attribute"])
    assert meaning(ours) == meaning(theirs)
    assert meaning(ours) == {key: value for key, value in meaning(btf).items() if key in meaning(ours)}
    assert set(names_of(btf)) <= set(meaning(ours))


def random_structs(seed: int, count: int) -> Types:
    """Structs with members at places that no alignment explains."""
    rng, made = random.Random(seed), Types()
    numbers = [made.int(*args) for args in (("char", 1), ("short", 2), ("int", 4), ("long long", 8))]
    wide = made.int("__int128", 16)
    plain = [*numbers, wide, made.ptr(numbers[0]), made.array(numbers[1], 3), made.array(numbers[3], 0)]
    sizes = dict(zip(plain, (1, 2, 4, 8, 16, 8, 6, 0)))
    for i in range(count):
        at, members = 0, []
        for j in range(rng.randrange(7)):
            chosen = rng.choice(plain)
            at += rng.choice((0, 0, 0, 1, 3, 8, 13, 64)) if rng.random() < 0.5 else 0
            if chosen in numbers and rng.random() < 0.4:
                width = rng.randrange(1, sizes[chosen] * 8 + 1)
                members.append((f"m{j}", chosen, at, width))
                at += width
            else:
                at = -(-at // 8) * 8
                if rng.random() < 0.6:
                    step = 8 * min(8, sizes[chosen] or 1)
                    at = -(-at // step) * step
                members.append((f"m{j}", chosen, at, 0))
                at += sizes[chosen] * 8
        size = -(-at // 8) + rng.choice((0, 0, 1, 4, 100))
        if rng.random() < 0.7:
            size = -(-size // 8) * 8
        one = made.struct(f"s{i}", size, *members)
        if rng.random() < 0.3:
            plain.append(one)
            sizes[one] = size
    return made


@pytest.mark.parametrize("seed", range(4))
def test_dump_all_of_random_layouts_keeps_every_place(seed, tmp_path):
    """Packing, alignment and padding are found for any offsets, bit-fields that straddle included."""
    btf = random_structs(seed, 250).btf()
    after = compiled(anchored(header(btf), names_of(btf)), tmp_path)
    before = meaning(btf)
    assert len(before) == 250
    assert meaning(after) == before


def test_assertions_of_an_object_hold(tmp_path):
    """Sizes and offsets as the compiler itself computes them."""
    btf = read_btf(path_of("core"))
    named = {x.id: f"struct {x.name}" for x in btf if x.kind is Kind.STRUCT and x.name}
    text = assertions(btf, named)
    assert "__builtin_offsetof(struct tree, hidden) == 48" in text
    compile_text(header(btf) + text, tmp_path)


def test_dump_all_of_embedded_structs_writes_their_members(tmp_path):
    """-fms-extensions lets a struct with a name stand in another without one: C text has to spell it out."""
    source = "struct base { int a; long b; }; struct s { struct base; union { struct { int d; } e; char c; }; };"
    flags = ["-fms-extensions", "-Wno-microsoft-anon-tag"]
    before = compiled(anchored(source, ["struct s", "struct base"]), tmp_path, flags=flags)
    after = compiled(anchored(header(before), ["struct s", "struct base"]), tmp_path)
    assert meaning(after) == meaning(before)


def test_dump_all_keeps_enums_that_only_name_constants():
    """Nothing refers to them by type; one that a member writes out is not repeated."""
    made = Types()
    made.enum("", ("ALONE", 1))
    made.struct("s", 4, ("e", made.enum("", ("INLINE", 2)), 0))
    assert list(dump_all(made.btf())) == [
        "enum {\n    ALONE = 1,\n};",
        "struct s {\n    enum {\n        INLINE = 2,\n    } e;\n};",
    ]


# One type -----------------------------------------------------------------------------------------


def test_dump_type_of_a_struct_shows_members_by_name():
    """Only anonymous types are written out."""
    btf = read_btf(path_of("core"))
    assert dump_type(btf, btf.find("tree", Kind.STRUCT).id).splitlines() == [
        "struct tree {",
        "    __u64 first;",
        "    struct leaf leaf;",
        "    struct leaf row[4];",
        "    union {",
        "        __u32 hidden;",
        "        __u64 wide;",
        "    };",
        "    __u32 flag : 1;",
        "    __s32 narrow : 7;",
        "    void *pointer;",
        "    int gone;",
        "};",
    ]


def test_dump_type_with_offsets_says_where_members_are():
    """Offset and size in bytes; first bit and width of a bit-field; holes; offsets within what is anonymous."""
    btf = read_btf(path_of("core"))
    lines = dump_type(btf, btf.find("tree", Kind.STRUCT).id, offsets=True).splitlines()
    notes = {line.split("/*")[0].strip(): line.split("/*")[1].split("*/")[0].split() for line in lines if "/*" in line}
    assert notes["struct leaf row[4];"] == ["16", "32"]
    assert notes["__u32 hidden;"] == ["48", "4"]
    assert notes["};"] == ["48", "8"]
    assert notes["__s32 narrow : 7;"] == ["56:1", "7", "bits"]
    assert notes["int gone;"] == ["72", "4"]
    assert "    /* hole of 7 bytes */" in lines
    assert "    /* hole of 4 bytes */" in lines
    columns = {line.index("/*") for line in lines if re.search(r";\s+/\*", line)}
    assert len(columns) == 1


def test_dump_type_of_flexible_arrays():
    """Of the last member, unless it is the only one; not behind a pointer. A header says [0], which none warns of."""
    made = Types()
    number = made.int()
    none = made.array(number, 0)
    last = made.struct("last", 4, ("n", number, 0), ("rows", made.array(made.array(number, 3), 0), 4))
    only = made.struct("only", 0, ("rows", none, 0))
    behind = made.struct("behind", 16, ("n", number, 0), ("p", made.ptr(none), 8))
    btf = made.btf()
    assert "    int rows[][3];" in dump_type(btf, last)
    assert "    int rows[0];" in dump_type(btf, only)
    assert "    int (*p)[0];" in dump_type(btf, behind)
    assert "    int rows[0][3];" in header(btf)


def test_dump_type_prefers_padding_that_leaves_the_alignment():
    """Unnamed bit-fields or an attribute of the member, as long as `packed` can be done without."""
    made = Types()
    number = made.int()
    padded = made.struct("padded", 12, ("a", number, 0), ("b", number, 8))
    aligned = made.struct("aligned", 16, ("a", number, 0), ("b", number, 8))
    wide = made.struct("wide", 32, ("a", number, 0), ("b", number, 28))
    packed = made.struct("packed", 5, ("a", made.int("char", 1), 0), ("b", number, 1))
    btf = made.btf()
    assert dump_type(btf, padded).splitlines()[2] == "    long long : 32;"
    assert dump_type(btf, aligned).splitlines()[2] == "    int b __attribute__((aligned(8)));"
    assert dump_type(btf, wide).splitlines()[2] == "    unsigned char __hole1[24];"
    assert not any("packed))" in dump_type(btf, one) for one in (padded, aligned, wide))
    assert dump_type(btf, packed).splitlines()[-1] == "} __attribute__((packed));"


def every_kind() -> tuple[Types, dict[str, int]]:
    """A type of each kind with a C text of its own."""
    made, ids = Types(), {}
    number = ids["int"] = made.int("int")
    pointer = ids["int *"] = made.ptr(number)
    ids["int[7]"] = made.array(number, 7)
    struct = ids["struct s {\n    int a;\n    int *b;\n};"] = made.struct("s", 16, ("a", number, 0), ("b", pointer, 8))
    ids["union u {\n    int a;\n};"] = made.struct("u", 4, ("a", number, 0), kind=Kind.UNION)
    ids["enum e {\n    NEGATIVE = -2,\n    ONE = 1,\n};"] = made.enum("e", ("NEGATIVE", -2), ("ONE", 1), signed=True)
    ids["enum wide {\n    TOP = 18446744073709551615ULL,\n};"] = made.enum("wide", ("TOP", (1 << 64) - 1), size=8)
    ids["enum empty;"] = made.enum("empty")
    ids["union fwd;"] = made.add(lambda i: t.Fwd(i, "fwd", True))
    ids["typedef struct s name;"] = typedef = made.typedef("name", struct)
    ids["const name"] = made.add(lambda i: t.Const(i, Kind.CONST, typedef))
    ids["volatile name"] = made.add(lambda i: t.Const(i, Kind.VOLATILE, typedef))
    ids["int *restrict"] = made.add(lambda i: t.Const(i, Kind.RESTRICT, pointer))
    proto = ids["int (int, ...)"] = made.add(lambda i: t.FuncProto(i, number, (t.Param("", number), t.Param("", 0))))
    full = made.add(lambda i: t.FuncProto(i, pointer, (t.Param("x", number), t.Param("y", typedef))))
    ids["extern int *f(int x, name y);"] = made.add(lambda i: t.Func(i, "f", full, t.Linkage.EXTERN))
    ids["static int v;"] = var = made.add(lambda i: t.Var(i, "v", number, t.Linkage.STATIC))
    ids["/* section .data: 4 bytes */\nstatic int v;  /*     0     4 */"] = made.add(
        lambda i: t.Datasec(i, ".data", 4, (t.SectionVar(var, 0, 4),))
    )
    ids["double"] = made.add(lambda i: t.Float(i, "double", 8))
    ids['/* btf_decl_tag("tag") of component 0 of union u */'] = made.add(lambda i: t.DeclTag(i, "tag", 5, 0))
    ids['__attribute__((btf_type_tag("user"))) int'] = made.add(lambda i: t.TypeTag(i, "user", number, False))
    ids["__attribute__((address_space(1))) int"] = made.add(lambda i: t.TypeTag(i, "address_space(1)", number, True))
    ids["int (*)(int, ...)"] = made.ptr(proto)
    return made, ids


def test_dump_type_writes_every_kind():
    """All twenty; a type that C has no declaration for is just named."""
    made, ids = every_kind()
    btf = made.btf()
    assert {btf.type(i).kind for i in ids.values()} | {Kind.VOID} == set(Kind)
    for text, i in ids.items():
        expected = text.replace("int a;\n};", 'int a __attribute__((btf_decl_tag("tag")));\n};') if i == 5 else text
        assert dump_type(btf, i) == expected
    assert dump_type(btf, 0) == "void"


def test_type_name_leaves_bodies_out():
    """For tables, where a struct without a name has no room."""
    made = Types()
    number = made.int()
    bare = made.struct("", 4, ("a", number, 0))
    pointer = made.ptr(made.array(bare, 3))
    btf = made.btf()
    assert type_name(btf, pointer) == "struct {...} (*)[3]"
    assert type_name(btf, made.all[0].id) == "int"


def test_dump_all_of_split_btf_brings_what_it_needs_of_the_base():
    """A module's header stands alone, and leaves out what it has no use for."""
    base = Types()
    number = base.int()
    used = base.struct("used", 4, ("x", number, 0))
    base.struct("unused", 4, ("x", number, 0))
    kernel = base.btf("vmlinux")
    module = Btf(split_struct(kernel, "mine", "member", used), base=kernel, name="module")
    assert list(dump_all(module)) == ["struct used {\n    int x;\n};", "struct mine {\n    struct used member;\n};"]
