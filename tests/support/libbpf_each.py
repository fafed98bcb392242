"""Loads each program of objects alone, through libbpf, and says how that went: an oracle.

    python -m tests.support.libbpf_each OBJECT...

Writes one line of JSON for each object: ``{"path": ..., "programs": {name: errno or 0}}``. It is a process of
its own, because libbpf's faults would be ours, and it shares nothing with the library but the object.
"""

from __future__ import annotations

import ctypes
import json
import sys
from collections.abc import Iterator

LIBRARY = "libbpf.so.1"


def open_library() -> ctypes.CDLL:
    """The library with the functions that are used here, silent."""
    lib = ctypes.CDLL(LIBRARY, use_errno=True)
    pointer, text = ctypes.c_void_p, ctypes.c_char_p
    for name, result, arguments in (
        ("bpf_object__open_file", pointer, [text, pointer]),
        ("bpf_object__next_program", pointer, [pointer, pointer]),
        ("bpf_object__load", ctypes.c_int, [pointer]),
        ("bpf_object__close", None, [pointer]),
        ("bpf_program__name", text, [pointer]),
        ("bpf_program__set_autoload", ctypes.c_int, [pointer, ctypes.c_bool]),
        ("libbpf_set_print", pointer, [pointer]),
    ):
        function = getattr(lib, name)
        function.restype, function.argtypes = result, arguments
    lib.libbpf_set_print(None)
    return lib


def programs(lib: ctypes.CDLL, obj: int) -> Iterator[int]:
    """The programs of an open object."""
    program = lib.bpf_object__next_program(obj, None)
    while program:
        yield program
        program = lib.bpf_object__next_program(obj, program)


def verdicts(lib: ctypes.CDLL, path: str) -> dict[str, int]:
    """Errno of each program when it alone is loaded; 0 is success. Of an object that cannot be opened, ``""``."""
    found: dict[str, int] = {}
    names = None
    while names is None or len(found) < len(names):
        obj = lib.bpf_object__open_file(path.encode(), None)
        if not obj:
            return {"": ctypes.get_errno()}
        all_programs = list(programs(lib, obj))
        names = [lib.bpf_program__name(one).decode() for one in all_programs]
        wanted = next((name for name in names if name not in found), None)
        if wanted is None:
            lib.bpf_object__close(obj)
            break
        for name, one in zip(names, all_programs):
            lib.bpf_program__set_autoload(one, name == wanted)
        found[wanted] = -lib.bpf_object__load(obj)
        lib.bpf_object__close(obj)
    return found


if __name__ == "__main__":
    library = open_library()
    for argument in sys.argv[1:]:
        print(json.dumps({"path": argument, "programs": verdicts(library, argument)}), flush=True)
