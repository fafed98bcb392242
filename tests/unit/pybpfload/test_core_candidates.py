"""CO-RE where libbpf's rules are easily missed; tests/oracle compares the rest of them with libbpf itself."""

from __future__ import annotations

import pytest

from pybpfload import insn
from pybpfload.errors import CoreError
from pybpfload.linker import link, make_resolver
from tests.support.objects import read
from tests.support.types import Types


def linked(types: Types, program: str):
    """One program of the object with relocations of all kinds."""
    spec = read("relos")
    return link(spec, spec.programs[program], [types.btf()])


def test_load_of_a_field_that_became_a_bitfield_is_poisoned():
    """No load of whole bytes can follow it; to refuse the program would be too much, as it may never run."""
    types = Types()
    unsigned = types.int("unsigned int", 4, signed=False)
    leaf = types.struct("leaf", 8, ("x", unsigned, 3, 7))
    types.struct("tree", 8, ("leaf", leaf, 0))
    (relocation,) = linked(types, "load_x").relocations
    assert relocation.poisoned


@pytest.mark.parametrize("value", [-5 + (1 << 32), -7 + (1 << 32), 3])
def test_enumerator_of_a_kernel_that_does_not_say_signed_is_signed(value):
    """Before 6.0, kernels' BTF did not say that an enum is signed; the object's does."""
    types = Types()
    types.enum("tone", ("LOW", value), ("HIGH", 7), signed=False)
    code = linked(types, "enum_low_value").code
    number = value - (1 << 32) if value >> 31 else value
    assert insn.read(code, 0).imm == number
    assert insn.read(code, 1).imm == (-1 if number < 0 else 0)


def test_candidate_that_lacked_a_member_is_no_candidate_any_more():
    """In the whole object, in the order of the file: what is ambiguous alone need not be in company."""
    types = Types()
    wide = types.int("unsigned long long", 8, signed=False)
    short = types.int("short", 2)
    leaf = types.struct("leaf", 8, ("y", short, 4))
    types.struct("tree", 24, ("first", wide, 0), ("leaf", leaf, 8))
    types.struct("tree", 8, ("leaf", leaf, 0))
    with pytest.raises(CoreError, match="ambiguous"):
        linked(types, "leaf_y_offset")
    spec = read("relos")
    together = [spec.programs["first_offset"], spec.programs["leaf_y_offset"]]
    resolver = make_resolver(spec, together, [types.btf()])
    code = link(spec, together[1], (), resolver=resolver).code
    assert insn.read(code, 0).imm == 12
