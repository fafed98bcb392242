"""Rows about BTF: what a kernel's checker lets pass. `sanitise` leaves out what it does not."""

from __future__ import annotations

from typing import Callable

from pybpfload._sys import progs as sys_progs
from pybpfload.btf import types as t
from pybpfload.btf.encode import encode
from pybpfload.btf.types import Kind, Type
from pybpfload.features.base import Feature

__all__ = ["BTF"]

INT = t.Int(1, "int", 4, 32, 0, 1)
FUNCTION = (INT, t.FuncProto(2, 0, (t.Param("a", 1),)))
VARIABLE = (INT, t.Var(2, "x", 1, t.Linkage.STATIC))


def _takes(*types: Type) -> bool:
    sys_progs.load_btf(encode(types), "probe").close()
    return True


def _btf(*types: Type) -> Callable[[], bool]:
    return lambda: _takes(*types)


def _section(name: str) -> Type:
    return t.Datasec(3, name, 4, (t.SectionVar(2, 0, 4),))


BTF: dict[str, Feature] = {
    "btf": Feature("BTF", "4.18", _btf(INT)),
    "btf_func": Feature("BTF of functions", "5.0", _btf(*FUNCTION, t.Func(3, "f", 2, 0))),
    "btf_func_global": Feature("BTF of global functions", "5.6", _btf(*FUNCTION, t.Func(3, "f", 2, 1))),
    "btf_datasec": Feature("BTF of sections", "5.2", _btf(*VARIABLE, _section(".data"))),
    "btf_question_mark": Feature(
        "BTF of sections whose names begin with ?", "6.9", _btf(*VARIABLE, _section("?.data"))
    ),
    "btf_float": Feature("BTF of floating-point types", "5.13", _btf(t.Float(1, "float", 4))),
    "btf_decl_tag": Feature("BTF declaration tags", "5.16", _btf(*VARIABLE, t.DeclTag(3, "tag", 2, -1))),
    "btf_type_tag": Feature("BTF type tags", "5.17", _btf(INT, t.TypeTag(2, "tag", 1, False), t.Ptr(3, 2))),
    "btf_enum64": Feature(
        "BTF enums of 64 bits", "6.0", _btf(t.Enum(1, Kind.ENUM64, "", 8, False, (t.Enumerator("x", 1),)))
    ),
}
