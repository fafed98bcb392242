"""The kernel's own functions, by name: searched in /proc/kallsyms, never indexed, for it has 120,000 lines."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from fnmatch import translate

from pybpfload._sys import tracefs
from pybpfload.closest import closest
from pybpfload.errors import BpfError, UnsupportedError, printable

__all__ = ["expand", "explain", "syscall_function"]

KALLSYMS = "/proc/kallsyms"
# Pieces of functions, and what stands before them: nothing that could be called.
NOT_FUNCTIONS = re.compile(rb"^__(pfx|cfi)_|\.cold(\.\d+)?$|\.llvm\.\d+$")
# What a compiler calls a function that it has changed: arguments removed, constants put in.
CHANGED = (b".isra.", b".constprop.", b".part.")
PREFIXES = {"x86_64": "__x64_", "aarch64": "__arm64_", "s390x": "__s390x_", "riscv64": "__riscv_"}


def _read() -> bytes:
    with open(KALLSYMS, "rb") as file:
        return file.read()


def has_symbol(data: bytes, name: str) -> bool:
    """Whether kallsyms has a name."""
    raw = re.escape(name.encode("utf-8", "surrogateescape"))
    return re.search(rb" [tTwW] " + raw + rb"[\n\t]", data) is not None


def syscall_function(name: str) -> str:
    """The kernel's function of a system call: ``__x64_sys_read`` for ``read``.

    Raises:
        UnsupportedError: this kernel has no such system call.

    Kernel: wrappers 4.17, fa697140f9a2.
    """
    data = _read()
    prefix = PREFIXES.get(os.uname().machine, "")
    tried = [f"{prefix}sys_{name}", f"__se_sys_{name}", f"sys_{name}"]
    for function in tried:
        if has_symbol(data, function):
            return function
    raise UnsupportedError(
        f"system call `{printable(name)}` (none of {', '.join(map(printable, tried))} in {KALLSYMS})"
    )


def expand(pattern: str) -> tuple[list[str], list[int]]:
    """The functions that match a shell pattern and can be traced: their names, and addresses if they are known.

    Names that several functions share are left out without addresses, for the kernel could not tell them apart.

    Raises:
        UnsupportedError: no function matches, or there is no list of those that can be traced.
    """
    matches = re.compile(translate(pattern).encode()).match
    try:
        lines = tracefs.read_lines("available_filter_functions_addrs")  # since 6.5
        rows = [line.split() for line in lines]
        pairs = {int(row[0], 16): row[1] for row in rows if len(row) > 1 and _is_wanted(row[1], matches)}
        if pairs and any(pairs):
            return [name.decode() for name in pairs.values()], list(pairs)
    except OSError:
        pass
    names = [line.split()[0] for line in tracefs.read_lines("available_filter_functions") if line.strip()]
    wanted = [name for name in names if _is_wanted(name, matches)]
    unique = sorted({name.decode() for name in wanted if wanted.count(name) == 1})
    if not unique:
        raise UnsupportedError(f"function like `{printable(pattern)}` among those that can be traced")
    return unique, []


def _is_wanted(name: bytes, matches: object) -> bool:
    return bool(matches(name)) and not NOT_FUNCTIONS.search(name)  # type: ignore[operator]


def explain(functions: Sequence[str]) -> str:
    """Why these functions may not be found: "" when kallsyms gives no reason."""
    try:
        data = _read()
    except OSError:
        return ""
    for function in functions:
        if not has_symbol(data, function):
            return _missing(data, function)
    try:
        traceable = {line.split()[0] for line in tracefs.read_lines("available_filter_functions") if line.strip()}
    except (BpfError, OSError):
        return ""
    lost = next((f for f in functions if f.encode("utf-8", "surrogateescape") not in traceable), None)
    return f"`{printable(lost)}` is in {KALLSYMS}, but not among the functions that can be traced" if lost else ""


def _missing(data: bytes, function: str) -> str:
    raw = function.encode("utf-8", "surrogateescape")
    said = f"no function `{printable(function)}` in {KALLSYMS}"
    for suffix in CHANGED:
        found = re.search(rb" [tT] (" + re.escape(raw + suffix) + rb"\d+)", data)
        if found:
            return f"{said}; the compiler made `{found[1].decode()}` of it"
    begins = re.escape(raw[: max(1, len(raw) // 2)])
    names = sorted({n.decode("utf-8", "replace") for n in re.findall(rb" [tT] (" + begins + rb"[^\s]*)", data)})
    close = closest(function, names)
    return said + (f"; closest is `{close}`" if close else "; it may be inlined everywhere")
