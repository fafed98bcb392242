# SPDX-License-Identifier: MIT
"""What the documents hold: one row for each member. The JSON Schema and docs/events.md are made from these.

Names that the C tool had are kept; what is more than that comes after them.
"""

from __future__ import annotations

from typing import NamedTuple

from tracer.model import ARRAY, BOOLEAN, INTEGER, STRING

NUMBER, OBJECT = "number", "object"

# Versions of the documents: the first number changes if a member goes or means something else.
VERSION = "1.0"


class Member(NamedTuple):
    """One member of an object.

    Attributes:
        name: as JSON has it.
        type: JSON type of the value.
        doc: one sentence for the documentation.
        nullable: whether JSON null says that it is unknown or that there is none.
        members: of an object, or of the objects in an array.
        items: type of what is in an array, if these are no objects.
    """

    name: str
    type: str
    doc: str
    nullable: bool = False
    members: tuple[Member, ...] = ()
    items: str = ""


class Document(NamedTuple):
    """One kind of document."""

    name: str
    doc: str
    members: tuple[Member, ...]


_TIME = "ISO 8601, UTC, microseconds"

_PROCESS = (
    Member("pid", INTEGER, "Process id."),
    Member("name", STRING, "Name of its first thread, at most 15 bytes."),
    Member("exe", STRING, "Its executable, or null if it is not known.", nullable=True),
)
_PROFILED = (
    *_PROCESS,
    Member("cmdline", STRING, "Arguments, quoted as for a shell where they need it, or null.", nullable=True),
    Member("uid", INTEGER, "Real user id, or null.", nullable=True),
    Member("gid", INTEGER, "Real group id, or null.", nullable=True),
    Member("start_time", STRING, f"When it began: {_TIME}; null if it is not known.", nullable=True),
    Member("ppid", INTEGER, "Process id of the parent, or null.", nullable=True),
    Member("container", STRING, "Id of the container that it runs in, or null.", nullable=True),
    Member("exit_code", INTEGER, "What it returned; null if it has not ended, or a signal ended it.", nullable=True),
    Member("signal", STRING, "The signal that ended it, or null.", nullable=True),
)

_CONNECTION = (
    Member("process", STRING, "Name of the process."),
    Member("exe", STRING, "Its executable, or null.", nullable=True),
    Member("container", STRING, "Id of its container, or null.", nullable=True),
    Member("protocol", STRING, "``TLS`` or ``SSH``."),
    Member("role", STRING, "``client`` or ``server``, or null.", nullable=True),
    Member("peer", STRING, "Name of the server if the client gave one, else the address of the other side.", True),
    Member("peer_port", INTEGER, "Port of a server; null for clients, who have another one each time.", nullable=True),
    Member("suite", STRING, "Cipher suite, or cipher of SSH; null if nothing was agreed on.", nullable=True),
    Member("group", STRING, "Group of the key exchange, or key exchange of SSH, or null.", nullable=True),
    Member("version", STRING, "Version of the protocol, or null.", nullable=True),
    Member("post_quantum", STRING, "``hybrid``, ``pure``, ``classical``, ``none``, or null.", nullable=True),
    Member("post_quantum_reason", STRING, "Who kept it classical, or null.", nullable=True),
    Member("grade", STRING, "``broken`` ... ``pq-safe``, or null: see docs/wire.md.", nullable=True),
    Member("grade_reason", STRING, "What the grade is for, or null.", nullable=True),
    Member("evidence", STRING, "``negotiated``; null if the two did not come to terms.", nullable=True),
    Member("peer_process", STRING, "Name of the other process, if it runs on this host.", nullable=True),
    Member("count", INTEGER, "How many connections."),
    Member("pids", ARRAY, "Processes that had them.", items=INTEGER),
)

PROFILE = Document(
    "profile",
    "What processes did in a while: written by `profile` and `run`.",
    (
        Member("profile_version", STRING, "Version of the form of this document."),
        Member("generated_at", STRING, f"When it was written: {_TIME}."),
        Member("duration_seconds", NUMBER, "How long it was watched."),
        Member("process", OBJECT, "The first process that was watched, or null if none was.", True, _PROFILED),
        Member(
            "libraries",
            ARRAY,
            "Crypto libraries that were loaded.",
            members=(
                Member("name", STRING, "Short name: ``libssl``."),
                Member("path", STRING, "File, in the process's own view."),
                Member("load_time", STRING, f"When: {_TIME}; null if it was before.", nullable=True),
                Member("family", STRING, "The project it is part of."),
                Member("version", STRING, "Version as the file itself or its name says, or null.", nullable=True),
                Member("build_id", STRING, "Build-id in hexadecimal, or null.", nullable=True),
                Member("pids", ARRAY, "Processes that loaded it.", items=INTEGER),
                Member("evidence", STRING, "How much it proves: ``loaded``."),
            ),
        ),
        Member(
            "files_accessed",
            ARRAY,
            "Crypto files that were opened, or not found.",
            members=(
                Member("path", STRING, "Absolute name if it is known, else as the process gave it."),
                Member("type", STRING, "What kind of file the name says it is."),
                Member("access_count", INTEGER, "How often it was opened, or tried to."),
                Member("first_access", STRING, f"{_TIME}."),
                Member("last_access", STRING, f"{_TIME}."),
                Member("mode", STRING, "How it was opened: ``read``, ``write`` or ``read_write``."),
                Member("failed_count", INTEGER, "How often that failed."),
                Member("errors", ARRAY, "Names of the errnos that there were: ``ENOENT``.", items=STRING),
                Member("pids", ARRAY, "Processes that did it.", items=INTEGER),
            ),
        ),
        Member(
            "api_calls",
            ARRAY,
            "Calls of functions of crypto libraries, those by programs.",
            members=(
                Member("function_name", STRING, "Name of the function."),
                Member("count", INTEGER, "How often."),
                Member("evidence", STRING, "How much it proves: ``initialised``."),
            ),
        ),
        Member(
            "statistics",
            OBJECT,
            "Counts.",
            members=(
                Member("total_events", INTEGER, "Events that this document is made of."),
                Member("libraries_loaded", INTEGER, "Rows of `libraries`."),
                Member("files_accessed", INTEGER, "Rows of `files_accessed`."),
                Member("api_calls_made", INTEGER, "Calls, all together."),
                Member("tls_handshakes", INTEGER, "Handshakes of TLS, as functions of libraries told."),
                Member("processes", INTEGER, "Rows of `processes`."),
                Member("lost", INTEGER, "Events that were lost; 0 if the document is complete."),
                Member("connections", INTEGER, "Handshakes of TLS and SSH, as seen on the wire; not to be added."),
            ),
        ),
        Member("processes", ARRAY, "All processes that were watched, children too.", members=_PROFILED),
        Member(
            "tls_handshakes",
            ARRAY,
            "Handshakes of TLS that functions of libraries told of, alike ones together.",
            members=(
                Member("role", STRING, "``client`` or ``server``, or null.", nullable=True),
                Member("peer_address", STRING, "Address of the other side, or null.", nullable=True),
                Member("peer_port", INTEGER, "Port of the other side, or null.", nullable=True),
                Member("success", BOOLEAN, "Whether they succeeded, or null.", nullable=True),
                Member("count", INTEGER, "How many."),
                Member("evidence", STRING, "How much it proves: ``initialised``."),
            ),
        ),
        Member(
            "connections",
            ARRAY,
            "What was negotiated, as seen on the wire: alike connections together, the worst grade first.",
            members=_CONNECTION,
        ),
        Member(
            "algorithms",
            ARRAY,
            "Calls that begin to use an algorithm, with ``--deep``; those that are counted most often come first.",
            members=(
                Member("function_name", STRING, "Name of the function; null for all others together.", nullable=True),
                Member("algorithm", STRING, "Name of the algorithm, or null.", nullable=True),
                Member("origin", STRING, "``application`` or ``library``, or null.", nullable=True),
                Member("library", STRING, "File that the function is in, or null.", nullable=True),
                Member("count", INTEGER, "How many."),
                Member("pids", ARRAY, "Who made them.", items=INTEGER),
            ),
        ),
    ),
)

SNAPSHOT = Document(
    "snapshot",
    "What runs at one moment: written by `snapshot`.",
    (
        Member("snapshot_version", STRING, "Version of the form of this document."),
        Member("generated_at", STRING, f"When it was written: {_TIME}."),
        Member("hostname", STRING, "Name of the host."),
        Member("kernel", STRING, "Release of the kernel."),
        Member(
            "processes",
            ARRAY,
            "Processes that have a crypto library loaded or a crypto file open.",
            members=(
                *_PROCESS,
                Member("running_as", STRING, "Real user: ``uid:1000``."),
                Member("libraries", ARRAY, "Files of crypto libraries that it has loaded.", items=STRING),
                Member("open_crypto_files", ARRAY, "Crypto files that it has open.", items=STRING),
                Member("container", STRING, "Id of the container that it runs in, or null.", nullable=True),
                Member("deleted_libraries", ARRAY, "Of its libraries, those replaced on disk since.", items=STRING),
                Member("static_crypto", ARRAY, "What its executable has inside: ``OpenSSL 3.0.19``.", items=STRING),
            ),
        ),
        Member(
            "summary",
            OBJECT,
            "Counts.",
            members=(
                Member("total_processes", INTEGER, "Rows of `processes`."),
                Member("total_libraries", INTEGER, "Rows of `libraries`."),
                Member("total_files", INTEGER, "Different crypto files that are open."),
                Member("processes_seen", INTEGER, "Processes that were looked at."),
                Member("processes_hidden", INTEGER, "Processes that this user may not look at."),
                Member("executables_skipped", INTEGER, "Executables that were not searched: too many, or unreadable."),
            ),
        ),
        Member(
            "libraries",
            ARRAY,
            "Crypto libraries that are loaded anywhere, each file once.",
            members=(
                Member("name", STRING, "Short name: ``libssl``."),
                Member("path", STRING, "File, in the process's own view."),
                Member("family", STRING, "The project it is part of."),
                Member("version", STRING, "Version as the file itself or its name says, or null.", nullable=True),
                Member("build_id", STRING, "Build-id in hexadecimal, or null.", nullable=True),
                Member("process_count", INTEGER, "How many processes have loaded it."),
                Member("evidence", STRING, "How much it proves: ``loaded``."),
            ),
        ),
        Member(
            "static_crypto",
            ARRAY,
            "Cryptography that executables have inside, each executable once.",
            members=(
                Member("name", STRING, "The project, the crate of Rust, or ``Go``."),
                Member("path", STRING, "The executable, in the process's own view."),
                Member("version", STRING, "Version as the file itself says, or null.", nullable=True),
                Member("details", ARRAY, "Packages, modules and settings that it names.", items=STRING),
                Member("evidence", STRING, "``available``: it is there; whether it is used, nobody knows."),
                Member("process_count", INTEGER, "How many processes run it."),
            ),
        ),
        Member(
            "kernel_crypto",
            OBJECT,
            "Cryptography of the kernel.",
            members=(
                Member("fips_enabled", BOOLEAN, "Whether it is in FIPS mode; null if it does not say.", nullable=True),
                Member(
                    "algorithms",
                    ARRAY,
                    "Algorithms that are registered: /proc/crypto.",
                    members=(
                        Member("name", STRING, "``cbc(aes)``."),
                        Member("driver", STRING, "``cbc-aes-aesni``."),
                        Member("module", STRING, "Module of the kernel, or ``kernel``."),
                        Member("type", STRING, "``skcipher``, ``shash`` ..."),
                        Member("priority", INTEGER, "The highest is used."),
                        Member("in_use", BOOLEAN, "Whether anybody holds it now."),
                    ),
                ),
                Member("evidence", STRING, "How much `algorithms` proves: ``available``."),
            ),
        ),
        Member(
            "kernel_tls",
            ARRAY,
            "Sockets whose TLS the kernel does.",
            members=(
                Member("local_address", STRING, "Address of this side."),
                Member("local_port", INTEGER, "Port of this side."),
                Member("peer_address", STRING, "Address of the other side."),
                Member("peer_port", INTEGER, "Port of the other side."),
                Member("version", STRING, "Version of TLS."),
                Member("cipher", STRING, "Cipher, as the kernel calls it."),
                Member("send", STRING, "``software``, ``hardware``, or null if the kernel does not.", nullable=True),
                Member("receive", STRING, "The same for what is received.", nullable=True),
                Member("evidence", STRING, "How much it proves: ``negotiated``."),
            ),
        ),
    ),
)

DOCTOR = Document(
    "doctor",
    "What this host allows: written by `doctor`.",
    (
        Member("doctor_version", STRING, "Version of the form of this document."),
        Member("generated_at", STRING, f"When it was written: {_TIME}."),
        Member("kernel", STRING, "Release of the kernel."),
        Member("machine", STRING, "Architecture, as `uname -m` has it."),
        Member("ready", BOOLEAN, "Whether all probes can be on."),
        Member(
            "checks",
            ARRAY,
            "What was looked at.",
            members=(
                Member("name", STRING, "What: ``btf``, ``ring_buffer`` ..."),
                Member("ok", BOOLEAN, "Whether it is as it should be."),
                Member("needed", BOOLEAN, "Whether nothing works without it."),
                Member("found", STRING, "What was found."),
                Member("remedy", STRING, "What would help, or null.", nullable=True),
            ),
        ),
        Member(
            "probes",
            ARRAY,
            "Each probe, loaded and attached for a moment.",
            members=(
                Member("name", STRING, "Name of the probe."),
                Member("on", BOOLEAN, "Whether it can be on."),
                Member("ways", ARRAY, "How its programs are attached.", items=STRING),
                Member("reason", STRING, "Why it is off, or null.", nullable=True),
                Member("remedy", STRING, "What would help, or null.", nullable=True),
                Member("needs", ARRAY, "Capabilities that it takes.", items=STRING),
            ),
        ),
    ),
)

DOCUMENTS = (PROFILE, SNAPSHOT, DOCTOR)
