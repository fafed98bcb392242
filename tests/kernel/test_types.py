"""The kernel's BTF as C: all of it, as the compiler sees it."""

from __future__ import annotations

from collections import Counter

import pytest

from pybpfload import kernel_btf
from pybpfload.btf import Btf
from pybpfload.btf import types as t
from pybpfload.btf.dump import dump_all
from tests.support.headers import KEYWORDS, anchored, assertions, compile_text, compiled, meaning

pytestmark = [pytest.mark.kernel, pytest.mark.slow]

SAMPLE = 300


@pytest.fixture(scope="module")
def header() -> str:
    """Every type of this kernel."""
    return "\n\n".join(dump_all(kernel_btf())) + "\n"


def unique_structs(btf: Btf) -> dict[int, str]:
    """Structs and unions whose name no other type has: those that a header calls as BTF does."""
    tags = [x for x in btf if isinstance(x, (t.Composite, t.Enum, t.Fwd)) and x.name]
    counts = Counter(x.name for x in tags)
    return {x.id: f"{KEYWORDS[x.kind]} {x.name}" for x in tags if isinstance(x, t.Composite) and counts[x.name] == 1}


def most_referenced(btf: Btf, among: dict[int, str]) -> list[int]:
    """The ids that members and pointers name most often."""
    counts: Counter[int] = Counter()
    for one in btf:
        if isinstance(one, t.Composite):
            counts.update(member.type for member in one.members)
        elif isinstance(one, (t.Ptr, t.Const, t.Array, t.Typedef)):
            counts[one.type] += 1
    return [type_id for type_id, _ in counts.most_common() if type_id in among][:SAMPLE]


def test_header_of_the_kernel_has_every_size_and_offset(header, tmp_path):
    """Thousands of structs, each member that is no bit-field."""
    btf = kernel_btf()
    text = assertions(btf, unique_structs(btf))
    assert text.count("_Static_assert") > 50_000
    compile_text(header + text, tmp_path, flags=["-fsyntax-only"])


def test_header_of_the_kernel_compiled_again_means_the_same(header, tmp_path):
    """Of the structs that others use most: names, types, places and bit-fields of all members."""
    btf = kernel_btf()
    names = unique_structs(btf)
    chosen = [names[type_id] for type_id in most_referenced(btf, names)]
    assert len(chosen) == SAMPLE
    before, after = meaning(btf), meaning(compiled(anchored(header, chosen), tmp_path))
    differing = [name for name in chosen if before[name] != after[name]]
    assert {name: (before[name], after[name]) for name in differing} == {}
