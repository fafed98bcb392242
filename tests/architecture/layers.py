"""The layers of docs/architecture.md as a table, and the check that code keeps to them.

A layer is a row of groups; groups of one row are siblings and may not import each other. A module may import
its own group and every row below. A name stands for a module or for a package with all below it; the longest
name wins.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

# From the top down.
LIBRARY_LAYERS: tuple[tuple[tuple[str, ...], ...], ...] = (
    (("pybpfload", "pybpfload.__main__"),),
    (("pybpfload.cli",),),
    # the kernel half: owns file descriptors
    (("pybpfload.loader", "pybpfload.object"), ("pybpfload.listing",)),
    (("pybpfload.links",),),
    (
        ("pybpfload.progs",),
        ("pybpfload.events", "pybpfload.buffers", "pybpfload.ringbuf", "pybpfload.perfbuf", "pybpfload.userring"),
        ("pybpfload.externs",),
    ),
    (("pybpfload.maps",),),
    (("pybpfload.features",),),
    (("pybpfload._sys",),),
    (("pybpfload.privilege",),),
    # the pure half: the same answer on every host
    (("pybpfload.cli.btf", "pybpfload.cli.command", "pybpfload.cli.info", "pybpfload.cli.relocs"),),
    (("pybpfload.objectspec",),),
    (
        ("pybpfload.reader",),
        ("pybpfload.linker",),
        ("pybpfload.sanitise",),
        ("pybpfload.kconfig",),
        ("pybpfload.structops",),
    ),
    (("pybpfload.relocations",),),
    (("pybpfload.core",),),
    (("pybpfload.spec",), ("pybpfload.symbols",), ("pybpfload.targets",)),
    (("pybpfload.btf",), ("pybpfload.insn", "pybpfload.disasm"), ("pybpfload.elf",), ("pybpfload.sections",)),
    (
        (
            "pybpfload.closest",
            "pybpfload.errors",
            "pybpfload.files",
            "pybpfload.helper_ids",
            "pybpfload.uapi",
            "pybpfload._version",
        ),
    ),
)
APPLICATION_LAYERS: tuple[tuple[tuple[str, ...], ...], ...] = (
    (("tracer.__main__", "tracer.cli"),),
    (("tracer.commands",),),
    (
        ("tracer.session",),
        ("tracer.health",),
        ("tracer.snapshot",),
        ("tracer.replay", "tracer.frames"),
        ("tracer.live",),
        ("tracer.child",),
        ("tracer.doctor",),
    ),
    (("tracer.view",), ("tracer.service",)),
    (("tracer.webserver",),),
    (("tracer.present",), ("tracer.profile",), ("tracer.metrics",)),
    (("tracer.manager", "tracer.loaded", "tracer.accounting"),),
    (("tracer.stream",), ("tracer.pause",)),
    (("tracer.options", "tracer.config"),),
    (("tracer.pipeline",), ("tracer.sinks",), ("tracer.decode", "tracer.rows"), ("tracer.probes",)),
    (("tracer.proc",), ("tracer.wire",)),
    (
        (
            "tracer.column",
            "tracer.connections",
            "tracer.handshakes",
            "tracer.model",
            "tracer.texts",
            "tracer.documents",
            "tracer.schema",
            "tracer.catalog",
            "tracer.objects",
            "tracer.known",
            "tracer.log",
            "tracer.progress",
            "tracer.clock",
            "tracer.errors",
            "tracer.settings",
            "tracer.stop",
            "tracer.together",
        ),
    ),
    # no more than a docstring
    (("tracer",),),
)

# All of the library that the application may name; _version is for --version, which must not load the rest.
LIBRARY_FACE = ("pybpfload", "pybpfload.btf", "pybpfload.errors", "pybpfload._version")

# Who alone may import these.
ONLY_IN = {
    "ctypes": ("pybpfload._sys",),
    "elftools": ("pybpfload.elf",),
    "rich": ("tracer.sinks", "tracer.live", "tracer.log", "tracer.cli"),
}
THIRD_PARTY = {"pybpfload": ("elftools",), "tracer": ("pybpfload", "rich")}


@dataclass(frozen=True)
class Place:
    """Where a module stands: the row from the top, the group in it."""

    row: int
    group: int


def find_place(module: str, layers: tuple[tuple[tuple[str, ...], ...], ...]) -> Place | None:
    """The place of a module, by the longest name in the table that it is or lies below."""
    best, found = -1, None
    for row, groups in enumerate(layers):
        for group, names in enumerate(groups):
            for name in names:
                top = "." not in name
                if module == name or (not top and module.startswith(name + ".")):
                    if len(name) > best:
                        best, found = len(name), Place(row, group)
    return found


def violations(
    module: str, imports: Iterable[tuple[int, str]], modules: frozenset[str], stdlib: frozenset[str]
) -> list[str]:
    """One line of text for each import that breaks a rule.

    Args:
        module: dotted name of the importing module.
        imports: line and dotted name of what it imports.
        modules: every module of both packages, to tell `package.module` from `module.attribute`.
        stdlib: top-level names of the standard library.
    """
    own = module.partition(".")[0]
    layers = LIBRARY_LAYERS if own == "pybpfload" else APPLICATION_LAYERS
    here = find_place(module, layers)
    if here is None:
        return [f"{module}: has no place in tests/architecture/layers.py"]
    found = []
    for line, name in imports:
        reason = _reason(module, own, here, layers, name, modules, stdlib)
        if reason:
            found.append(f"{module}:{line}: imports {name}: {reason}")
    return found


def _reason(
    module: str,
    own: str,
    here: Place,
    layers: tuple[tuple[tuple[str, ...], ...], ...],
    name: str,
    modules: frozenset[str],
    stdlib: frozenset[str],
) -> str | None:
    top = name.partition(".")[0]
    if top in ONLY_IN and not any(_is_below(module, owner) for owner in ONLY_IN[top]):
        return f"only {', '.join(ONLY_IN[top])} may"
    if top != own and top not in stdlib and top not in THIRD_PARTY[own]:
        return f"{own} may import the standard library and {', '.join(THIRD_PARTY[own])}"
    if top not in {"pybpfload", "tracer"}:
        return None
    target = name if name in modules else name.rpartition(".")[0] or name
    if target not in modules:
        return "there is no such module"
    if top != own:
        return None if target in LIBRARY_FACE else f"the application may import only {', '.join(LIBRARY_FACE)}"
    if target == own and own == "pybpfload":
        return "the package's face is for its users"
    place = find_place(target, layers)
    if place is None:
        return "it has no place in tests/architecture/layers.py"
    if place.row < here.row:
        return "it stands in a higher layer"
    if place.row == here.row and place.group != here.group:
        return "siblings may not import each other"
    return None


def _is_below(module: str, owner: str) -> bool:
    return module == owner or module.startswith(owner + ".")
