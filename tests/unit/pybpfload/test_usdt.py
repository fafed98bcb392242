"""USDT notes and arguments, from what compilers write into them."""

from __future__ import annotations

import re
import struct
import subprocess

import pytest

from pybpfload.errors import ObjectError
from pybpfload.symbols import usdt_sites
from pybpfload.symbols.image import Image
from pybpfload.symbols.usdt_args import CONST, REG, REG_DEREF, SIB, Argument, pack_spec, parse_arguments
from tests.support.gates import require_tool

X86, ARM = 62, 183


@pytest.mark.parametrize(
    ("text", "argument"),
    [
        ("-4@%eax", Argument(REG, 0, 80, 0, 0, 4, True)),
        ("8@%r15", Argument(REG, 0, 0, 0, 0, 8, False)),
        ("1@%sil", Argument(REG, 0, 104, 0, 0, 1, False)),
        ("2@%r8w", Argument(REG, 0, 72, 0, 0, 2, False)),
        ("-4@$-9", Argument(CONST, -9, 0, 0, 0, 4, True)),
        ("8@$0x10", Argument(CONST, 16, 0, 0, 0, 8, False)),
        ("8@-8(%rbp)", Argument(REG_DEREF, -8, 32, 0, 0, 8, False)),
        ("8@(%rax)", Argument(REG_DEREF, 0, 80, 0, 0, 8, False)),
        ("-4@0x1c(%rsp)", Argument(REG_DEREF, 28, 152, 0, 0, 4, True)),
        ("8@-0x10(%rbp,%rcx,8)", Argument(SIB, -16, 32, 88, 3, 8, False)),
        ("8@(%rdi, %rsi)", Argument(SIB, 0, 112, 104, 0, 8, False)),
    ],
)
def test_x86_argument_is_understood(text, argument):
    """Registers of each width, constants, memory; offsets are those of struct pt_regs."""
    assert parse_arguments(text, X86) == [argument]


@pytest.mark.parametrize(
    ("text", "argument"),
    [
        ("-4@x0", Argument(REG, 0, 0, 0, 0, 4, True)),
        ("4@w19", Argument(REG, 0, 152, 0, 0, 4, False)),
        ("8@[x1, 16]", Argument(REG_DEREF, 16, 8, 0, 0, 8, False)),
        ("8@[sp]", Argument(REG_DEREF, 0, 248, 0, 0, 8, False)),
        ("-4@[sp, -12]", Argument(REG_DEREF, -12, 248, 0, 0, 4, True)),
        ("8@5", Argument(CONST, 5, 0, 0, 0, 8, False)),
    ],
)
def test_arm64_argument_is_understood(text, argument):
    """The same of arm64."""
    assert parse_arguments(text, ARM) == [argument]


def test_arguments_are_divided_by_blanks_outside_brackets():
    """As they stand in a note."""
    assert len(parse_arguments("8@[x1, 16] -4@x0 8@[sp, 8]", ARM)) == 3
    assert len(parse_arguments("8@8(%rax, %rbx) 8@%rcx", X86)) == 2
    assert parse_arguments("", X86) == []


@pytest.mark.parametrize(
    ("text", "machine"),
    [
        ("8@%xmm0", X86), ("8f@%xmm0", X86), ("3@%rax", X86), ("8@", X86), ("%rax", X86), ("8@symbol(%rip)", X86),
        ("8@(%rax,%nosuch,4)", X86), ("8@(%rax,%rbx,3)", X86), ("8@x31", ARM), ("8@[x1, x2]", ARM),
        ("8@%rax", ARM), ("((((", X86), ("8@%rax" * 2000, X86), (" ".join(["8@%rax"] * 13), X86), ("8@%rax", 40),
    ],
)  # fmt: skip
def test_argument_that_cannot_be_read_is_named(text, machine):
    """An error of ours, whatever it says."""
    with pytest.raises(ObjectError, match="USDT"):
        parse_arguments(text, machine)


def test_spec_has_the_layout_of_libbpfs_header():
    """208 bytes: 16 an argument, then the cookie and how many there are."""
    raw = pack_spec(parse_arguments("-4@%eax 8@-0x10(%rbp,%rcx,8)", X86), 77)
    assert len(raw) == 208
    assert struct.unpack_from("<QIhBb", raw) == (0, REG, 80, 1, 32)
    value, kind, packed, register, signed, shift = struct.unpack_from("<QBHxhBb", raw, 16)
    assert (value, kind, register, signed, shift) == (2**64 - 16, SIB, 32, 0, 0)
    assert (packed & 0xFFF, packed >> 12) == (88, 3)
    assert struct.unpack_from("<Qh", raw, 192) == (77, 2)


def test_sites_of_a_real_program_are_those_of_readelf():
    """Every probe of the interpreter or of libstdc++, whichever is here: addresses and arguments."""
    for path in ("/usr/bin/python3", "/usr/lib/x86_64-linux-gnu/libstdc++.so.6"):
        try:
            with Image(path) as image:
                sites = usdt_sites(image)
        except (ObjectError, OSError):
            continue
        text = subprocess.run([require_tool("readelf"), "-nW", path], capture_output=True, text=True, check=True).stdout
        theirs = re.findall(
            r"Provider: (\S+)\s+Name: (\S+)\s+Location: (0x\w+), Base: 0x\w+, Semaphore: 0x\w+\s+Arguments: ?(.*)", text
        )
        assert {(s.provider, s.name, s.address, s.arguments) for s in sites} == {
            (a, b, int(c, 16), d.strip()) for a, b, c, d in theirs
        }
        return
    pytest.skip("no program with USDT probes here")


def test_sites_of_a_file_without_probes_say_so():
    """The section is named."""
    with Image("/bin/true") as image, pytest.raises(ObjectError, match=r"no USDT probes: it has no section"):
        usdt_sites(image, "a", "b")
