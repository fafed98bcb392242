"""Every error of the library.

::

    BpfError                      every error of the library
    ├ ObjectError                 the object file is at fault: names file, section, symbol
    │ ├ BtfError                  its .BTF or .BTF.ext, or a kernel's BTF
    │ ├ SectionError              a SEC() name that nobody knows; has the closest match
    │ └ RelocationError           program, instruction, symbol
    │   └ CoreError               a CO-RE relocation that cannot be decided
    ├ RecordError                 a record does not fit its type
    ├ IterationError              a map changes faster than it can be walked
    ├ UnsupportedError            the kernel lacks a feature: its name, its first version
    ├ SyscallError (OSError)      the errno is kept, the call is named
    │ ├ PrivilegeError (PermissionError)
    │ └ VerifierError             str() shows the last useful lines, .log is all of it
    └ AttachError                 program, target, the cause

``str(error)`` is ready to show: lower case, with name, value and expectation. Control characters in
names from a file are escaped.
"""

from __future__ import annotations

import errno as _errno
import os
from typing import Callable

__all__ = [
    "AttachError",
    "BpfError",
    "BtfError",
    "CoreError",
    "IterationError",
    "ObjectError",
    "PrivilegeError",
    "RecordError",
    "RelocationError",
    "SectionError",
    "SyscallError",
    "UnsupportedError",
    "VerifierError",
    "printable",
]

ENOTSUPP = 524  # of the kernel alone: C libraries have no name for it


MAX_SHOWN = 2048  # characters; the longest lines of a verifier's log come close


def printable(text: str) -> str:
    """The text with every control and other unprintable character as an escape sequence; very long text is cut."""
    if len(text) > MAX_SHOWN:
        text = text[:MAX_SHOWN] + "..."
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class BpfError(Exception):
    """Any error of the library."""

    def __str__(self) -> str:
        return "\n".join(printable(line) for line in super().__str__().split("\n"))


class ObjectError(BpfError):
    """The object file is at fault."""


class BtfError(ObjectError):
    """BTF that cannot be understood, or that lacks what was asked for."""


class SectionError(ObjectError):
    """A section whose name says nothing about its program."""


class RelocationError(ObjectError):
    """A relocation that cannot be carried out."""


class CoreError(RelocationError):
    """A CO-RE relocation that is malformed or ambiguous."""


class RecordError(BpfError):
    """A record, key or value that does not fit its type."""


class IterationError(BpfError):
    """A walk through a map that would not end: others change it faster than it can be read."""


class UnsupportedError(BpfError):
    """The kernel cannot do it.

    Attributes:
        feature: what is missing, in the kernel's own terms.
        since: the first kernel version that has it, or "".
    """

    def __init__(self, feature: str, since: str = "") -> None:
        self.feature = feature
        self.since = since
        super().__init__(f"this kernel has no {feature}" + (f" (it came with {since})" if since else ""))


class SyscallError(BpfError, OSError):
    """A system call failed.

    Attributes:
        errno: as the kernel gave it.
        call: what was tried: ``BPF_MAP_CREATE events``.
    """

    def __init__(self, errno: int, call: str, detail: str = "") -> None:
        self.call = call
        self.detail = detail
        OSError.__init__(self, errno, "Operation is not supported" if errno == ENOTSUPP else os.strerror(errno))

    def __str__(self) -> str:
        name = "ENOTSUPP" if self.errno == ENOTSUPP else _errno.errorcode.get(self.errno or 0, str(self.errno))
        text = f"{self.call}: {self.strerror} ({name})"
        if self.detail:
            text += f": {self.detail}"
        return "\n".join(printable(line) for line in text.split("\n"))


class PrivilegeError(SyscallError, PermissionError):
    """The kernel refused for want of privilege.

    Attributes:
        explain: finds out what is missing; None when nobody knows.
    """

    explain: Callable[[], str] | None = None

    @property
    def hint(self) -> str:
        """What is missing: a capability, or what a setting or a security module forbids. "" when unknown."""
        return self.explain() if self.explain is not None else ""


class VerifierError(SyscallError):
    """The verifier rejected a program.

    Attributes:
        log: the verifier's whole log.
        program: the program's name.
        insn: the slot where the verifier stopped, or None when it does not say.
        source: the source line of that, or "".
    """

    TAIL_LINES = 12
    MAX_LINES = 48

    def __init__(
        self,
        errno: int,
        call: str,
        log: str,
        program: str = "",
        notes: tuple[str, ...] = (),
        *,
        insn: int | None = None,
        source: str = "",
    ) -> None:
        self.log = log
        self.program = program
        self.notes = notes
        self.insn = insn
        self.source = source
        lines = [line for line in log.splitlines() if line.strip()]
        # The statistics that close a log say nothing about the cause.
        while lines and (lines[-1].startswith("processed ") or lines[-1].startswith("verification time")):
            lines.pop()
        # Kernels from 7.x on close with an explanation of their own, which wants to be seen whole.
        explained = next((i for i, line in enumerate(lines) if line.startswith("Verification failed")), None)
        start = -self.TAIL_LINES if explained is None else explained
        tail = [*lines[start:][: self.MAX_LINES], *notes]
        super().__init__(errno, call, "\n  ".join(["", *tail]) if tail else "the verifier's log is empty")


class AttachError(BpfError):
    """A program could not be attached.

    Attributes:
        program: its name.
        target: what it should have been attached to.
    """

    def __init__(self, program: str, target: str, cause: object) -> None:
        self.program = program
        self.target = target
        super().__init__(f"program `{program}`: cannot attach to {target}: {cause}")
