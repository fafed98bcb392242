"""BTF for older kernels: each rule, and what it must not touch."""

from __future__ import annotations

import pytest

from pybpfload.btf import Btf, Kind
from pybpfload.btf import types as t
from pybpfload.sanitise import RULES, kernel_view
from pybpfload.spec import Function, ObjectParts
from tests.support.objects import read
from tests.support.types import Types
from tests.unit.pybpfload.test_btf_blob import every_kind


def view(made: Types, *missing: str, **parts) -> dict[int, t.Type]:
    """The types that a kernel without these features would be given."""
    spec = ObjectParts("test", "test")
    spec.btf = made.btf()
    for name, value in parts.items():
        setattr(spec, name, value)
    return {x.id: x for x in Btf(kernel_view(spec, lambda name: name not in missing))}


def sections(made: Types, *names: str) -> None:
    """A DATASEC of each name with one int variable."""
    number = made.int()
    for name in names:
        var = made.add(lambda i, name=name: t.Var(i, f"v{i}", number, t.Linkage.GLOBAL))
        made.add(lambda i, name=name, var=var: t.Datasec(i, name, 4, (t.SectionVar(var, 0, 4),)))


def test_view_with_every_feature_changes_only_our_sections():
    """What the kernel knows stays; sections that are no maps become placeholders."""
    made = every_kind()
    seen = view(made)
    changed = {i for i, x in seen.items() if x != made.all[i - 1]}
    assert changed == {x.id for x in made.all if x.kind is Kind.DATASEC}


@pytest.mark.parametrize("feature", [row[0] for row in RULES])
def test_view_without_a_feature_has_none_of_its_types(feature):
    """After a rule nothing is left that needs the feature, and every id is still there."""
    made = every_kind()
    seen = view(made, feature)
    rules = [row for row in RULES if row[0] == feature]
    assert not [x for x in seen.values() for _, applies, _ in rules if applies(x)]
    assert set(range(1, len(made.all) + 1)) <= set(seen)


def test_view_without_all_features_keeps_sizes():
    """Structs that contain a replaced type keep their layout: a double is eight bytes of nothing."""
    made = every_kind()
    spec = ObjectParts("test", "test")
    spec.btf = made.btf()
    blind = Btf(kernel_view(spec, lambda _: False))
    double = next(x for x in made.all if isinstance(x, t.Float))
    wide = next(x for x in made.all if x.kind is Kind.ENUM64)
    assert blind.size_of(double.id) == 8
    assert blind.size_of(wide.id) == 8
    assert blind.type(wide.id).kind is Kind.UNION


def test_view_question_mark_section_is_renamed():
    """`?.struct_ops` is a name that only newer kernels take."""
    made = Types()
    sections(made, "?.struct_ops")
    spec_maps = {"?.struct_ops": None}
    assert view(made, "btf_question_mark", maps=spec_maps)[3].name == "_.struct_ops"


def test_view_ksyms_become_dummies():
    """Externs of the kernel are four bytes each; functions get a variable in their place, and named parameters."""
    made = Types()
    number = made.int()
    proto = made.add(lambda i: t.FuncProto(i, 0, (t.Param("", number),)))
    func = made.add(lambda i: t.Func(i, "kfunc", proto, t.Linkage.EXTERN))
    void = made.add(lambda i: t.Const(i, Kind.CONST, 0))
    var = made.add(lambda i: t.Var(i, "sym", void, t.Linkage.EXTERN))
    section = made.add(lambda i: t.Datasec(i, ".ksyms", 0, (t.SectionVar(func, 0, 0), t.SectionVar(var, 0, 0))))
    seen = view(made)
    dummy = seen[len(made.all) + 1]
    assert seen[section] == t.Datasec(section, ".ksyms", 8, (t.SectionVar(dummy.id, 0, 4), t.SectionVar(var, 4, 4)))
    assert seen[var] == t.Var(var, "sym", number, t.Linkage.GLOBAL)
    assert seen[func].linkage == t.Linkage.GLOBAL
    assert seen[proto].params == (t.Param("dummy_ksym", number),)


def test_view_hidden_function_becomes_static():
    """A hidden function is checked with its callers."""
    made = Types()
    proto = made.add(lambda i: t.FuncProto(i, made.int(), ()))
    proto = made.add(lambda i: t.FuncProto(i, 0, ()))
    func = made.add(lambda i: t.Func(i, "quiet", proto, t.Linkage.GLOBAL))
    functions = {(".text", 0): Function("quiet", ".text", 0, b"", {}, is_global=False)}
    assert view(made, functions=functions)[func].linkage == t.Linkage.STATIC


def test_view_keeps_the_offsets_of_strings():
    """Line info still finds its text."""
    spec = read("subprogs")
    seen = Btf(kernel_view(spec))
    for lines in spec.btf_ext.lines.values():
        for line in lines:
            assert seen.string(line.line) == spec.btf.string(line.line)
