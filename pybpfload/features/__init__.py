"""What the running kernel can do, found out by trying it: never by comparing versions.

A row is one small system call whose errno tells. Rows are tried when they are first asked for, and
answers are kept for the life of the process.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, partial
from typing import NamedTuple

from pybpfload.errors import BpfError, SyscallError
from pybpfload.features.attaching import ATTACHING
from pybpfload.features.base import Feature, kernel_type
from pybpfload.features.behaviours import BEHAVIOURS
from pybpfload.features.btf import BTF
from pybpfload.features.kinds import MAP_TYPES, PROG_TYPES, WITH_HELPERS, helper
from pybpfload.features.links import ATTACH_TYPES, LINK_TYPES
from pybpfload.helper_ids import HELPERS
from pybpfload.uapi import ProgType

__all__ = ["FEATURES", "Answer", "Feature", "ask", "find", "has", "helper_names"]

# name -> row. Helpers are not in it: they are too many, and follow from two names.
FEATURES: dict[str, Feature] = {
    **BEHAVIOURS,
    **BTF,
    **PROG_TYPES,
    **MAP_TYPES,
    **LINK_TYPES,
    **ATTACH_TYPES,
    **ATTACHING,
}


class Answer(NamedTuple):
    """What a row found out.

    Attributes:
        reason: for a no, what the kernel said; "" when it said nothing of interest.
    """

    supported: bool
    reason: str


def find(name: str) -> Feature:
    """The row of a name.

    Names are ``perf_link``, ``map:ringbuf``, ``prog:xdp``, ``link:tcx``, ``attach:sk_lookup``,
    ``helper:xdp:redirect_map``, ``kfunc:bpf_rcu_read_lock``.

    Raises:
        KeyError: there is none.
    """
    kind, _, rest = name.partition(":")
    if kind == "kfunc" and rest:
        return Feature(f"kernel function {rest}()", "", partial(_is_there, rest))
    if kind != "helper":
        return FEATURES[name]
    type_name, _, helper_name = rest.partition(":")
    prog_type = ProgType.__members__.get(type_name.upper())
    if prog_type not in WITH_HELPERS or helper_name not in HELPERS:
        raise KeyError(name)
    return Feature(
        f"bpf_{helper_name}() in {type_name} programs", "", partial(helper, prog_type, HELPERS.index(helper_name))
    )


def _is_there(function: str) -> bool:
    return kernel_type(function) > 0


def helper_names() -> Iterator[str]:
    """The names of all rows about helpers."""
    for prog_type in WITH_HELPERS:
        for name in HELPERS[1:]:
            yield f"helper:{prog_type.name.lower()}:{name}"


def ask(name: str) -> Answer:
    """Try a row now."""
    try:
        return Answer(find(name).probe(), "")
    except SyscallError as error:
        return Answer(False, f"{error.call}: {error.strerror}")
    except (BpfError, OSError) as error:
        return Answer(False, str(error))


@cache
def has(name: str) -> bool:
    """Whether the kernel has a feature; `find` says which names there are. Tried once."""
    return ask(name).supported
