"""Whole programs from their functions."""

from __future__ import annotations

import pytest

from pybpfload import insn
from pybpfload.errors import RelocationError
from pybpfload.linker import link, needs_kernel_btf
from pybpfload.spec import Function, RefKind
from tests.support.objects import read


def names(spec, program):
    """The functions of a linked program, in order."""
    return [spec.functions[key].name for key, _ in link(spec, spec.programs[program], []).functions]


def test_link_appends_each_function_once_in_order_of_calls():
    """Depth first, as libbpf: the callback, the static function, what it calls."""
    spec = read("subprogs")
    assert names(spec, "calls_all") == ["calls_all", "add", "static_middle", "global_leaf"]
    assert names(spec, "calls_leaf") == ["calls_leaf", "global_leaf"]


def test_link_calls_land_on_their_functions():
    """Every call and every function address points at a first slot."""
    spec = read("subprogs")
    program = link(spec, spec.programs["calls_all"], [])
    starts = {slot: spec.functions[key].name for key, slot in program.functions}
    landed = []
    for slot in range(len(program.code) // 8):
        op = insn.read(program.code, slot)
        if insn.is_call_to_subprog(op) or insn.is_func_address(op):
            landed.append(starts[slot + op.imm + 1])
    assert landed == ["add", "static_middle", "global_leaf", "global_leaf"]


def test_link_infos_follow_their_functions():
    """func_info has one record for each function, at its first slot; line_info covers each first slot."""
    spec = read("subprogs")
    program = link(spec, spec.programs["calls_all"], [])
    assert [slot for slot, _ in program.func_info] == [slot for _, slot in program.functions]
    assert {slot for _, slot in program.functions} <= {line[0] for line in program.line_info}
    assert [spec.btf.type(t).name for _, t in program.func_info] == names(spec, "calls_all")


def test_link_references_have_slots_of_the_whole_program():
    """A map used in an appended function is found where it ended up."""
    spec = read("subprogs")
    program = link(spec, spec.programs["calls_leaf"], [])
    (ref,) = program.refs
    assert ref.kind is RefKind.DATA
    assert ref.name == ".bss"
    assert insn.is_ld_imm64(insn.read(program.code, ref.slot))


def test_link_leaves_the_spec_as_it_was():
    """Linking twice gives the same, and the spec can be linked against another kernel."""
    spec = read("subprogs")
    first = link(spec, spec.programs["calls_all"], [])
    assert link(spec, spec.programs["calls_all"], []) == first


def test_link_call_into_the_middle_of_a_function_is_refused():
    """A call has to land where a function begins."""
    spec = read("subprogs")
    key = spec.programs["calls_leaf"].function
    old = spec.functions[key]
    slot, ref = next((s, r) for s, r in old.refs.items() if r.kind is RefKind.CALL)
    spec.functions[key] = Function(*old[:4], {slot: ref._replace(offset=ref.offset + 8)}, old.is_global)
    with pytest.raises(RelocationError, match="no function begins at"):
        link(spec, spec.programs["calls_leaf"], [])


def test_needs_kernel_btf_only_with_core_relocations():
    """An object without them never has the kernel's BTF read."""
    assert not needs_kernel_btf(read("subprogs"), read("subprogs").programs["calls_all"])
    assert needs_kernel_btf(read("core"), read("core").programs["offset"])
