# SPDX-License-Identifier: MIT
"""What an event is, and how each kind of event is shown.

`KINDS` is the presentation table: one row for a kind, one column for a value that users see. JSON, the
documentation and the schema come from it, so they cannot disagree.

A kind has the name of its member of `union ct_event` in the BPF objects. A column takes its value from
a field of the event: one of the record as the C struct names it, or one that a later step added:

=================  =====================================================
`wall_ns`          by decode: the time of the event, ns since 1970, UTC
`<array>_cut`      by decode: whether the kernel sent only the beginning
`exe`              by enrich: executable of the process, or None
`container`        by enrich: id of the container, or None
`pod` ...          by enrich: uid and name of the pod, name of the container in it, or None
`file_type`        by classify
`library_name` ... by classify and enrich: what is known of a library
=================  =====================================================
"""

from __future__ import annotations

from typing import Any, NamedTuple

from tracer.clock import utc_text
from tracer.column import ARRAY, BOOLEAN, INTEGER, STRING, Column
from tracer.handshakes import WIRE_SSH, WIRE_TLS
from tracer.texts import command_line, errno_names, known, octal, signal_name

__all__ = [
    "ARRAY",
    "BOOLEAN",
    "INTEGER",
    "KINDS",
    "KIND_BY_NAME",
    "STRING",
    "Column",
    "Event",
    "EventKind",
    "Fields",
    "complete",
]

Fields = dict[str, Any]


class EventKind(NamedTuple):
    """One kind of event.

    Attributes:
        name: `event_type` in JSON, and the member of `union ct_event`.
        doc: one sentence for the documentation.
        columns: in the order of the output.
        file: field with the file's name, of kinds that are about a file.
        image: field with the kernel's name of the new executable, of kinds that change it.
        ends: whether the process is gone after this event.
        library: field with the file of a library, of kinds that are about one.
        child: whether it tells of a new process.
        hidden: whether it is for ourselves, and not printed unless asked for.
    """

    name: str
    doc: str
    columns: tuple[Column, ...]
    file: str = ""
    image: str = ""
    ends: bool = False
    library: str = ""
    child: bool = False
    hidden: bool = False


class Event:
    """Something that happened.

    Attributes:
        kind: its row in `KINDS`.
        fields: values by name. Text is `str` with surrogateescape: any bytes can be in a name.
        record: the kernel's record behind its time; empty if the event comes from none.
    """

    __slots__ = ("fields", "kind", "record")

    def __init__(self, kind: EventKind, fields: Fields, record: bytes = b"") -> None:
        self.kind = kind
        self.fields = fields
        self.record = record

    def __repr__(self) -> str:
        return f"Event({self.kind.name}, {self.fields!r})"


COMMON = (
    Column("timestamp", STRING, "When it happened: ISO 8601, UTC, microseconds.", "wall_ns", utc_text),
    Column("pid", INTEGER, "Process id, as the host sees it."),
    Column("uid", INTEGER, "Real user id, as the host sees it."),
    Column("process", STRING, "Name of the thread that did it, at most 15 bytes.", "comm"),
    Column(
        "exe",
        STRING,
        "Executable of the process; null if it was gone before it could be asked.",
        nullable=True,
    ),
)

# What is appended to the columns of the C tool.
PLACE = (
    Column("cgroup", INTEGER, "Id of the process's control group: the inode number of its directory in cgroup v2."),
    Column("container", STRING, "Id of the container that the process runs in, or null.", nullable=True),
    Column("host_pid", INTEGER, "Process id as the host has it: another one if `pid` is that of a pod.", nullable=True),
    Column("pod", STRING, "Uid of the Kubernetes pod, or null.", nullable=True),
    Column("pod_name", STRING, "Namespace and name of the pod, as the node knows it: ``shop/cart``.", nullable=True),
    Column("container_name", STRING, "Name of the container in its pod, as the node knows it.", nullable=True),
)
FILE = (
    Column("inode", INTEGER, "Inode number of the file; null if it was not opened.", show=known, nullable=True),
    Column(
        "device",
        STRING,
        "Device of its file system, major:minor; null if it was not opened.",
        show=known,
        nullable=True,
    ),
    Column("mode", STRING, "Its permissions: ``0600``; null if it was not opened.", show=octal, nullable=True),
)


def evidence(tier: str) -> Column:
    """The column of a kind whose events all prove the same."""
    return Column("evidence", STRING, f"How much it proves: ``{tier}``.", "pid", lambda _: tier)


LIBRARY = (
    *COMMON,
    Column("library", STRING, "File that was mapped, in the process's own view.", "path"),
    Column("library_name", STRING, "Short name: ``libssl``."),
    Column("family", STRING, "The project it is part of: ``OpenSSL``."),
    Column("version", STRING, "Version as the file itself or its name says, or null.", nullable=True),
    Column("build_id", STRING, "Build-id of the file, in hexadecimal, or null.", nullable=True),
    Column("deleted", BOOLEAN, "Whether the file had no name any more.", show=bool),
    *FILE,
    *PLACE,
    evidence("loaded"),
)

KINDS = (
    EventKind(
        "file_open",
        "A process opened, or tried to open, a file that looks like cryptography.",
        (
            *COMMON,
            Column("file", STRING, "Name as the process gave it; it may be relative.", "path"),
            Column("file_type", STRING, "What kind of file the name says it is."),
            Column("flags", STRING, "Flags of open(2): ``O_RDONLY|O_CLOEXEC``."),
            Column("result", INTEGER, "0 if it was opened, else the errno: 2 for ENOENT."),
            Column(
                "error",
                STRING,
                "Name of the errno, null if it was opened.",
                "result",
                errno_names,
                nullable=True,
            ),
            Column(
                "file_path",
                STRING,
                "Absolute name in the process's own view, without links if it was opened; null if it is not known.",
                nullable=True,
            ),
            *FILE,
            *PLACE,
        ),
        file="path",
    ),
    EventKind(
        "process_exec",
        "A process began to run a program.",
        (
            *COMMON,
            Column("ppid", INTEGER, "Process id of the parent."),
            Column("gid", INTEGER, "Real group id."),
            Column(
                "cmdline",
                STRING,
                "Arguments, quoted as for a shell where they need it.",
                "argv",
                command_line,
            ),
            Column("argv_truncated", BOOLEAN, "Whether `cmdline` is only the beginning.", "argv_cut"),
            *PLACE,
        ),
        image="path",
    ),
    EventKind(
        "process_exit",
        "A process ended, with all its threads.",
        (
            *COMMON,
            Column("exit_code", INTEGER, "What it returned; 0 if a signal ended it."),
            Column("signal", STRING, "The signal that ended it, or null.", show=signal_name, nullable=True),
            Column("core_dumped", BOOLEAN, "Whether it left a core dump.", show=bool),
            *PLACE,
        ),
        ends=True,
    ),
    EventKind(
        "api_call",
        "A process called a function of a cryptographic library.",
        (
            *COMMON,
            Column("function_name", STRING, "Name of the function.", nullable=True),
            Column("library", STRING, "File that the function is in.", nullable=True),
            Column(
                "argument",
                STRING,
                "The argument that means something: a path, a list of ciphers, an algorithm; null if there is none.",
                "text",
                known,
                nullable=True,
            ),
            Column("caller", STRING, "File that the call came from; null if that is not known.", nullable=True),
            Column("internal", BOOLEAN, "Whether the library itself made the call.", show=bool),
            *PLACE,
            evidence("initialised"),
        ),
    ),
    EventKind(
        "api_count",
        "Calls of a function that begins to use an algorithm, counted since the last such event (``--deep``).",
        (
            *COMMON,
            Column("function_name", STRING, "Name of the function; null for all others together.", nullable=True),
            Column("library", STRING, "File that the function is in.", nullable=True),
            Column("algorithm", STRING, "Name of the algorithm; null if it could not be told.", nullable=True),
            Column("count", INTEGER, "How many calls."),
            Column("caller", STRING, "File that the calls came from; null if that is not known.", nullable=True),
            Column(
                "origin",
                STRING,
                "``library`` if a cryptographic library made them for itself, ``application``, or null.",
                nullable=True,
            ),
            *PLACE,
        ),
    ),
    EventKind(
        "tls_handshake",
        "A TLS handshake ended, well or not.",
        (
            *COMMON,
            Column("function_name", STRING, "The function that was called last for it.", nullable=True),
            Column("library", STRING, "File that the function is in.", nullable=True),
            Column("role", STRING, "``client`` or ``server``; null if the program did not say.", nullable=True),
            Column("success", BOOLEAN, "Whether it succeeded; null if nobody said.", nullable=True),
            Column("result", INTEGER, "What the function returned.", "returned", nullable=True),
            Column(
                "calls",
                INTEGER,
                "How many calls it took: more than one where the socket does not block.",
                nullable=True,
            ),
            Column("peer_address", STRING, "Address of the other side; null if no socket is known.", nullable=True),
            Column("peer_port", INTEGER, "Port of the other side.", nullable=True),
            Column("local_port", INTEGER, "Port of this side.", nullable=True),
            Column("certificate", STRING, "File of its own certificate.", show=known, nullable=True),
            Column("cipher_list", STRING, "Ciphers allowed up to TLS 1.2, as given.", show=known, nullable=True),
            Column("ciphersuites", STRING, "Ciphers allowed in TLS 1.3, as given.", show=known, nullable=True),
            *PLACE,
            *WIRE_TLS,
        ),
    ),
    EventKind(
        "ssh_handshake",
        "Two sides of an SSH connection said which algorithms they use.",
        (
            *COMMON,
            *WIRE_SSH,
            *PLACE,
        ),
    ),
    EventKind(
        "process_fork",
        "A process made another one.",
        (*COMMON, Column("child", INTEGER, "Process id of the new one."), *PLACE),
        child=True,
        hidden=True,
    ),
    EventKind(
        "wire_data",
        "A piece of a connection in clear; it becomes one of the others, and is never shown.",
        COMMON,
        hidden=True,
    ),
    EventKind(
        "kernel_crypto",
        "A process asked the kernel to encrypt for it: a socket of AF_ALG, or TLS in the kernel.",
        (
            *COMMON,
            Column("interface", STRING, "``AF_ALG``, or ``kTLS`` with the direction: ``kTLS send``, ``kTLS receive``."),
            Column("algorithm", STRING, "As the kernel calls it: ``cbc(aes)``, ``AES-GCM-256``."),
            Column(
                "type", STRING, "What kind of algorithm: ``skcipher``, ``hash``, ``aead``; null for TLS.", nullable=True
            ),
            Column("version", STRING, "Version of TLS; null for AF_ALG.", nullable=True),
            Column("result", INTEGER, "0 if the kernel took it, else the errno."),
            Column("error", STRING, "Name of the errno, or null.", "result", errno_names, nullable=True),
            *PLACE,
            evidence("initialised"),
        ),
    ),
    EventKind(
        "lib_load",
        "A cryptographic library was mapped as code: at a program's start, or by dlopen().",
        LIBRARY,
        library="path",
    ),
    EventKind(
        "lib_present",
        "A cryptographic library was loaded already when watching began; `libs` says so first.",
        LIBRARY,
        library="path",
    ),
    EventKind(
        "lib_open",
        "A process asked dlopen() for a cryptographic library by its name.",
        (
            *COMMON,
            Column("library", STRING, "Name as the process gave it.", "path"),
            Column("library_name", STRING, "Short name: ``libssl``."),
            Column("result", INTEGER, "0 if it was loaded, else 1.", "failed"),
            *PLACE,
        ),
        library="path",
    ),
)

KIND_BY_NAME = {kind.name: kind for kind in KINDS}

# Kinds of which a part of the columns may have no value: an event that only some of them are known of has None in the
# others.
_BLANK = {
    kind.name: dict.fromkeys(column.field for column in kind.columns if column.nullable)
    for kind in KINDS
    if kind.name in ("tls_handshake", "ssh_handshake")
}


def complete(kind: str, fields: Fields) -> None:
    """Give a handshake None where nothing is known of a column."""
    fields.update({**_BLANK[kind], **fields})
