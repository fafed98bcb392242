# SPDX-License-Identifier: MIT
"""Calls of functions of cryptographic libraries, and TLS handshakes.

Two programs are attached to every copy of a library that runs, or lies in a usual place: one to all functions of
the catalog that it has, one to the returns of some. The cookie of each place says which file it is, and which row of
the catalog. Kernels without cookies (before 5.15) find that by the code at the place instead.

A uprobe belongs to a file, not to a process: all that map it later are seen from their first call. Files that appear
later are attached when the first process maps them. What a process does with a library between mapping it and that
moment, some 10 ms, is not seen.

Executables of Go are never attached to: its stacks move, and the return of a function is caught on the stack.
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Any

import pybpfload
from pybpfload import kernel_btf
from pybpfload.errors import BpfError
from tracer.catalog.functions import FUNCTIONS, MARKERS, Function, argument, functions_of
from tracer.catalog.libraries import find_library
from tracer.errors import TracerError
from tracer.model import complete
from tracer.objects import architecture
from tracer.probes import accessors
from tracer.probes.base import Probe
from tracer.proc import copies
from tracer.proc.callers import Callers
from tracer.proc.copies import Copy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pybpfload import Link, Map, SymbolFile
    from tracer.model import Event
    from tracer.probes.base import Context
    from tracer.proc.copies import FileKey, MapKey

# struct ct_row: its enums, and the members that say which argument it is.
ENUMS = {"action": ("ct_action", "CT_DO_"), "text_as": ("ct_text_as", "CT_TEXT_"),
         "number_as": ("ct_number_as", "CT_NUMBER_")}  # fmt: skip
TEXTS = ("certificate", "cipher_list", "ciphersuites", "text")
NUMBERS = ("fd", "role", "number", "at_long")
POINTERS = ("object", "from", "made")
AGAIN = 4

# The number of the file in a cookie; its lower bits are the row.
LIBRARY_SHIFT = 16
COOKIE_HELPER = "BPF_FUNC_get_attach_cookie"

# A hostile user can make as many copies as he likes, and each costs.
MAX_FILES = 256
MAX_SEEN = 65536

GO_SECTIONS = (".gopclntab", ".go.buildinfo", ".note.go.buildid")

# What the kernel writes to a probed place, and the size of the code that tells functions apart (struct ct_code).
BREAKPOINT = {"x86_64": b"\xcc", "arm64": bytes.fromhex("a00020d4")}[architecture()]
CODE_SIZE = 29
PAGE_MASK = 0xFFF

ROLES = {0: None, 1: "client", 2: "server"}

OUTCOMES = {0: False, 1: True}


def row_values(row: Function, enums: dict[str, dict[str, int]]) -> dict[str, Any]:
    """A row as the kernel's table has it: `struct ct_row`."""
    meanings = {meaning: position for position, meaning in enumerate(row.arguments, 1) if meaning != "-"}
    text = next((m for m in TEXTS if m in meanings), "")
    number = next((m for m in NUMBERS if m in meanings), "")
    again = [*row.again, *[row.done] * AGAIN][:AGAIN]
    return {
        **{pointer: meanings.get(pointer, 0) for pointer in POINTERS},
        "action": enums["action"][row.action],
        "text": meanings.get(text, 0),
        "text_as": enums["text_as"][text or "text"],
        "number": meanings.get(number, 0),
        "number_as": enums["number_as"][number or "number"],
        "role": row.role,
        "reported": row.reported,
        "vague": row.vague,
        "done": row.done,
        "again": again,
        "pad": 0,
        "more_pad": 0,
    }


class Attacher:
    """The files that are attached to, and what events call them.

    Attributes:
        paths: of the attached files, by their number in the cookie; number 0 is none.
    """

    def __init__(self, context: Context) -> None:
        self._obj = context.obj
        self._log = context.log
        self._links = context.links
        self._seen: set[MapKey] = set()
        self._files: set[FileKey] = set()
        self._noticed: set[tuple[Any, Any]] = set()
        self._full = False
        btf = kernel_btf()
        wanted = context.obj.spec.variables["targ_cookies"]
        self._cookies = bool(wanted) and COOKIE_HELPER in btf.enum_values("bpf_func_id")
        self.paths = [""]
        self.callers = Callers()

    def attach_all(self) -> None:
        """Attach to all that runs or is installed."""
        for copy in copies.mapped():
            self.look_at(copy)
        for copy in copies.installed():
            self.look_at(copy)

    def look_at_process(self, pid: int) -> None:
        """Attach to what a process has mapped, where that is new."""
        try:
            for copy in copies.mapped_by(pid):
                self.look_at(copy)
        except TracerError as error:
            self._log.detail(f"probe openssl_api: {error}")

    def notice(self, fields: dict[str, Any]) -> None:
        """Look at a process that has mapped a library, or begun a program, unless the file is known by now."""
        if "inode" in fields:
            key = (fields["inode"], fields["device"])
        else:
            try:
                found = os.stat(f"/proc/{fields['pid']}/exe")
            except OSError:
                return
            key = (found.st_ino, found.st_dev)
        if key in self._noticed:
            return
        if len(self._noticed) < MAX_SEEN:
            self._noticed.add(key)
        self.look_at_process(fields["pid"])
        if "inode" in fields and not fields["deleted"]:
            # Without privileges the process cannot be looked at. Under that name, this host may have the same file.
            device = tuple(int(part) for part in fields["device"].split(":"))
            file_key = ((device[0], device[1]), fields["inode"])
            if file_key not in self._seen:
                self.look_at(Copy(fields["path"], find_library(fields["path"]), (fields["path"],), file_key, 0))

    def look_at(self, copy: Copy) -> None:
        """Attach to a file, if it is new and has functions of the catalog."""
        if copy.key in self._seen or self._full:
            return
        if copy.key is not None and len(self._seen) < MAX_SEEN:
            self._seen.add(copy.key)
        try:
            fd, key = copies.open_copy(copy)
        except TracerError as error:
            self._log.detail(f"probe openssl_api: {error}")
            return
        try:
            if key not in self._files:
                self._files.add(key)
                self._attach(copy, f"/proc/self/fd/{fd}")
        except (BpfError, OSError) as error:
            self._log.warning(f"probe openssl_api: cannot attach to {copy.path}: {error}")
        finally:
            os.close(fd)

    def _attach(self, copy: Copy, name: str) -> None:
        with pybpfload.SymbolFile(name) as file:
            rows = self._rows(copy, file)
            if not rows:
                return
            if len(self.paths) > MAX_FILES:
                self._full = True
                self._log.warning(f"probe openssl_api: {MAX_FILES} library files are attached to; no more will be")
                return
            library = len(self.paths)
            self.paths.append(copy.path)
            places = {offset: library << LIBRARY_SHIFT | row for offset, row in rows.items()}
            # A map of zeros would say that everything is at the beginning.
            has_sessions = any(FUNCTIONS[row].action == "shake" for row in rows.values())
            self._obj.maps["layouts"][library] = accessors.layout(file) if has_sessions else accessors.NOTHING
            self._describe(file, places)
            returns = [offset for offset, row in rows.items() if FUNCTIONS[row].returns]
            # Returns first: a call that is seen to begin is also seen to end.
            self._link("on_return", name, {offset: places[offset] for offset in returns})
            self._link("on_entry", name, places)
        self._log.detail(f"probe openssl_api: {len(rows)} functions of {copy.path}")

    def _rows(self, copy: Copy, file: SymbolFile) -> dict[int, int]:
        """Offset in the file -> row of the catalog."""
        if copy.library:
            wanted = functions_of(copy.library.family, copy.library.role)
        else:
            markers = file.find(list(MARKERS))
            if not markers or any(map(file.has_section, GO_SECTIONS)):
                return {}
            wanted = {}
            for marker in markers:
                wanted.update(functions_of(MARKERS[marker], within=True))
        found = file.find(list(wanted)) if wanted else {}
        rows: dict[int, int] = {}
        for symbol, offset in found.items():
            rows.setdefault(offset, wanted[symbol])
        return rows

    def _describe(self, file: SymbolFile, places: dict[int, int]) -> None:
        """Tell the kernel what it has to know of each place."""
        for offset, cookie in places.items():
            begin, end = file.code_around(offset)
            self._obj.maps["code_around"][cookie] = {"before": offset - begin, "behind": end - offset}
        if self._cookies:
            return
        for offset, cookie in places.items():
            code = bytearray(file.read(offset, CODE_SIZE + len(BREAKPOINT)))
            for other in places:
                # A neighbour that is probed as well begins with a breakpoint by then.
                if 0 <= other - offset < len(code):
                    at = other - offset
                    code[at : at + len(BREAKPOINT)] = BREAKPOINT
            bytes_ = bytes(code[len(BREAKPOINT) : len(BREAKPOINT) + CODE_SIZE]).ljust(CODE_SIZE, b"\0")
            self._obj.maps["cookies"][{"place": offset & PAGE_MASK, "bytes": list(bytes_), "pad": 0}] = cookie

    def _link(self, program: str, name: str, places: dict[int, int]) -> None:
        if not places:
            return
        cookies = list(places.values()) if self._cookies else ()
        link: Link = pybpfload.attach_uprobe_multi(
            self._obj.programs[program], name, offsets=list(places), cookies=cookies, ret=program == "on_return"
        )
        self._links.append(link)

    def path(self, library: int) -> str | None:
        """The file of a number; None for one that was never given."""
        return self.paths[library] if 0 < library < len(self.paths) else None


def fill(maps: Mapping[str, Map], enums: dict[str, dict[str, int]]) -> None:
    """Put the catalog into the kernel's table."""
    for number, row in enumerate(FUNCTIONS):
        maps["functions"][number] = row_values(row, enums)


def attach(context: Context) -> None:
    """Attach to all copies of libraries that there are."""
    obj = context.obj
    btf = obj.spec.btf
    assert btf is not None
    enums = {
        member: {name.removeprefix(prefix).lower(): value for name, value in btf.enum_values(enum).items()}
        for member, (enum, prefix) in ENUMS.items()
    }
    fill(obj.maps, enums)
    for name in ("on_sys_exit", "on_sched_process_fork", "on_sched_process_exit"):
        context.links.append(pybpfload.attach(obj.programs[name]))
    attacher = context.state = Attacher(context)
    attacher.attach_all()


def address_text(family: int, raw: bytes) -> str | None:
    """An address as text; one of IPv4 that came through an IPv6 socket is shown as what it is."""
    if family == socket.AF_INET:
        return socket.inet_ntop(socket.AF_INET, raw[:4])
    if family != socket.AF_INET6:
        return None
    if raw[:12] == bytes(10) + b"\xff\xff":
        return socket.inet_ntop(socket.AF_INET, raw[12:])
    return socket.inet_ntop(socket.AF_INET6, raw)


def on_event(context: Context, event: Event) -> None:
    """Attach to what is new; give the probe's own events the values that only it knows."""
    attacher: Attacher = context.state
    fields, kind = event.fields, event.kind.name
    if kind not in {"api_call", "tls_handshake"}:
        if not context.detached:
            attacher.notice(fields)
        return
    row = FUNCTIONS[fields["function"]] if fields["function"] < len(FUNCTIONS) else None
    fields["function_name"] = row.symbol if row else None
    fields["library"] = attacher.path(fields["library"])
    if kind == "tls_handshake":
        fields["source"], fields["evidence"] = "library", "initialised"
        complete(kind, fields)
        fields["success"] = OUTCOMES.get(fields["outcome"])
        fields["role"] = ROLES.get(fields["role"])
        known = fields["family"] != 0
        fields["peer_address"] = address_text(fields["family"], bytes(fields["peer"]))
        for port in ("peer_port", "local_port"):
            fields[port] = fields[port] if known else None
        return
    if row:
        fields["text"] = argument(row, fields["number"], fields["text"]) or ""
    fields["caller"] = attacher.callers.find(fields["pid"], fields["start_time"], fields["caller"])


OPENSSL_API = Probe(
    "openssl_api",
    attach=attach,
    wants=("process_exec", "lib_load", "api_call", "tls_handshake"),
    on_event=on_event,
    several=("api_call", "tls_handshake"),
    needs=("CAP_BPF", "CAP_PERFMON", "CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH"),
)
