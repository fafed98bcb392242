"""One object against random variations of its own types, by libbpf and by us."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pybpfload
from pybpfload.errors import BpfError
from pybpfload.linker import link
from tests.support import libbpf
from tests.support.differences import first_difference
from tests.support.kernels import Target
from tests.support.loads import listing
from tests.support.objects import path_of
from tests.support.variations import Variation

OBJECT = "relos"
# A function of .text that not all programs call. libbpf relocates it always; when that fails, it refuses them all.
SHARED = "helper"


class Result(NamedTuple):
    """What became of the programs: with the same code, refused by both, refused only for an unused function."""

    equal: int
    refused: int
    unused: int
    differences: list[str]


def differing_programs(driver: Path, folder: Path, seed: int) -> Result:
    """Relocate the object against the variation that a seed gives."""
    spec = pybpfload.read_object(path_of(OBJECT))
    target = Target(folder / f"variation-{seed}", "6.12.0", Variation(spec.types(), seed).blob())
    theirs = libbpf.loads_of(driver, path_of(OBJECT), target)
    ours: dict[str, list[str] | BpfError] = {}
    try:
        ours.update(
            {name: listing(program.code, {}, {}) for name, program in spec.relocate(target.btf).programs.items()}
        )
        together = True
    except BpfError:
        together = False
    out = []
    unused = f"prog '{SHARED}'" in theirs.errors.get("", "")
    if together is ("" in theirs.errors) and not unused:
        out.append(f"seed {seed}: only {'libbpf refuses' if together else 'we refuse'} the object: {theirs.errors}")
    if "" in theirs.errors:
        for name, program in spec.programs.items():
            try:
                ours[name] = listing(link(spec, program, [target.btf]).code, {}, {})
            except BpfError as error:
                ours[name] = error
    equal = refused = forgiven = 0
    for name, code in ours.items():
        load = theirs.programs.get(name) or theirs.stand_ins.get(name)
        if load is None and isinstance(code, BpfError):
            refused += 1
        elif load is None and f"prog '{SHARED}'" in theirs.errors.get(name, ""):
            forgiven += 1
        elif load is None:
            out.append(f"seed {seed}: `{name}`: only libbpf refuses: {theirs.errors.get(name)}")
        elif isinstance(code, BpfError):
            out.append(f"seed {seed}: `{name}`: only we refuse: {code}")
        elif code != load.code:
            out.append(f"seed {seed}: `{name}`: code {first_difference(code, load.code)}")
        else:
            equal += 1
    return Result(equal, refused, forgiven, out)
