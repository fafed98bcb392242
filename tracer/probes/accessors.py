# SPDX-License-Identifier: MIT
"""Where OpenSSL keeps what we want to know of a session, by the code of its own accessors.

`SSL_get_state` and `SSL_want` end with one load and a return. The offset in that load is the place, in whatever
build this is: no table of versions. From 3.2 on they test the session's type first, which the load follows as well.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tracer.objects import architecture

if TYPE_CHECKING:
    from pybpfload import SymbolFile

UNKNOWN = -1
CODE_SIZE = 96
MAX_OFFSET = 0x1000
NOTHING = {"hand_state": UNKNOWN, "want": UNKNOWN}

# mov DISP(%rdi or another), %eax; registers cleared by compilers that harden; ret
_X86 = re.compile(rb"\x8b(?:[\x40\x42\x43\x46\x47](.)|[\x80\x82\x83\x86\x87](.{4}))(?:\x31.){0,9}\xc3", re.DOTALL)
# mov DISP(%rdi), %rax
_X86_POINTER = re.compile(rb"\x48\x8b(?:\x47(.)|\x87(.{4}))", re.DOTALL)
# ldr x0, [x0, #imm]
_ARM64_POINTER, _ARM64_POINTER_MASK = 0xF9400000, 0xFFC003FF
POINTER_WITHIN = 32
NEW_KEYS, OLD_KEYS = "EVP_PKEY_CTX_new_from_name", "EVP_PKEY_CTX_new_id"
NO_NAMES = {"cipher": UNKNOWN, "digest": UNKNOWN, "key_management": UNKNOWN, "key": UNKNOWN, "key_method": UNKNOWN}

_ARM64_LOAD, _ARM64_LOAD_MASK, _ARM64_RETURN = 0xB9400000, 0xFFC0001F, 0xD65F03C0


def layout(file: SymbolFile) -> dict[str, int]:
    """The offsets, as `struct ct_layout` has them; negative where they are not known."""
    found = file.find(["SSL_get_state", "SSL_want"])
    return {
        "hand_state": _offset(file, found.get("SSL_get_state")),
        "want": _offset(file, found.get("SSL_want")),
    }


def names(file: SymbolFile) -> dict[str, int]:
    """Where the names of algorithms are, as `struct ct_names` has it; negative where that is not known."""
    accessors = ("EVP_CIPHER_get0_name", "EVP_MD_get0_name", "EVP_PKEY_CTX_is_a", "EVP_KEYMGMT_get0_name")
    found = file.find([*accessors, NEW_KEYS, OLD_KEYS])
    cipher, digest, key_management, key = (_pointer(file, found.get(name)) for name in accessors)
    # Up to 1.1.1 a context of keys begins with its method, and that with the number of the algorithm.
    old = OLD_KEYS in found and NEW_KEYS not in found
    return {"cipher": cipher, "digest": digest, "key_management": key_management, "key": key,
            "key_method": 0 if old else UNKNOWN}  # fmt: skip


def _pointer(file: SymbolFile, start: int | None) -> int:
    """The offset of the first pointer that a function reads from its first argument."""
    if start is None:
        return UNKNOWN
    code = file.read(start, CODE_SIZE)
    if architecture() == "x86_64":
        match = _X86_POINTER.search(code[:POINTER_WITHIN])
        offset = int.from_bytes(match[1] or match[2], "little", signed=True) if match else UNKNOWN
    else:
        words = (int.from_bytes(code[i : i + 4], "little") for i in range(0, POINTER_WITHIN, 4))
        loads = (word for word in words if word & _ARM64_POINTER_MASK == _ARM64_POINTER)
        offset = next(((load >> 10 & 0xFFF) * 8 for load in loads), UNKNOWN)
    return offset if 0 < offset < MAX_OFFSET else UNKNOWN


def _offset(file: SymbolFile, start: int | None) -> int:
    if start is None:
        return UNKNOWN
    code = file.read(start, CODE_SIZE)
    offset = _x86(code) if architecture() == "x86_64" else _arm64(code)
    return offset if 0 < offset < MAX_OFFSET else UNKNOWN


def _x86(code: bytes) -> int:
    match = _X86.search(code)
    if not match:
        return UNKNOWN
    return int.from_bytes(match[1] or match[2], "little", signed=True)


def _arm64(code: bytes) -> int:
    words = [int.from_bytes(code[i : i + 4], "little") for i in range(0, len(code) - 3, 4)]
    for load, following in zip(words, words[1:]):
        # ldr w0, [xN, #imm]: the offset counts in fours
        if load & _ARM64_LOAD_MASK == _ARM64_LOAD and following == _ARM64_RETURN:
            return (load >> 10 & 0xFFF) * 4
    return UNKNOWN
