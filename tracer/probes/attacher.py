# SPDX-License-Identifier: MIT
"""Attaching to functions of all copies of libraries: those that run, those that are installed, those that come.

A file that is attached to has a number, which the cookies of its places carry. There are MAX_FILES such files at
most. When they are that many, those that nobody maps any more are let go: a probed file stays on its disk after its
name is gone, and a hostile user can make as many copies as he likes. The number of one that is let go is used again
as late as possible, since events with it may still be on their way.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Callable, NamedTuple

import pybpfload
from pybpfload import kernel_btf
from pybpfload.errors import BpfError
from tracer.catalog.libraries import find_library
from tracer.errors import TracerError
from tracer.objects import architecture
from tracer.proc import copies
from tracer.proc.copies import Copy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pybpfload import Link, SymbolFile
    from tracer.probes.base import Context
    from tracer.proc.copies import FileKey, MapKey

# The number of the file in a cookie; its lower bits are the row. MAX_LIBRARIES of the kernel's tables.
LIBRARY_SHIFT = 16
MAX_LIBRARIES = 512
COOKIE_HELPER = "BPF_FUNC_get_attach_cookie"

MAX_FILES = 256
MAX_SEEN = 65536

# Looking for files that nobody maps reads the maps of all processes: so often at most.
SWEEP_S = 10.0

# What the kernel writes to a probed place, and the size of the code that tells functions apart (struct ct_code).
BREAKPOINT = {"x86_64": b"\xcc", "arm64": bytes.fromhex("a00020d4")}[architecture()]
CODE_SIZE = 29
PAGE_MASK = 0xFFF


class Catalog(NamedTuple):
    """What an attacher attaches to.

    Attributes:
        name: of the probe, for messages.
        rows: offset in a file -> row of the catalog.
        describe: is told the number of a file and its rows before anything is attached.
        programs: names of programs, whether they are for returns, and for which rows; the first comes first.
        neighbours: offsets where others may have put breakpoints.
        ended: is called when all is detached.
    """

    name: str
    rows: Callable[[Copy, SymbolFile], dict[int, int]]
    describe: Callable[[Context, int, SymbolFile, dict[int, int]], None]
    programs: tuple[tuple[str, bool, Callable[[int], bool]], ...]
    neighbours: Callable[[Copy, SymbolFile], dict[int, int]] | None = None
    ended: Callable[[Context], None] | None = None


class _Attached:
    """A file that is attached to.

    Attributes:
        keys: as the mappings of processes name it; on overlayfs each mount has another device.
        installed: found by its name: it may be used any moment.
    """

    def __init__(self, number: int, key: FileKey, *, installed: bool) -> None:
        self.number = number
        self.key = key
        self.keys: set[MapKey] = set()
        self.installed = installed
        self.links: list[Link] = []
        self.entries: list[tuple[str, Any]] = []  # in the maps of the kernel: map, key


class Attacher:
    """The files that are attached to, and what events call them.

    Attributes:
        paths: of the attached files, by their number in the cookie; number 0 is none.
    """

    def __init__(self, context: Context, catalog: Catalog) -> None:
        self._obj = context.obj
        self._log = context.log
        self._links = context.links
        self._context = context
        self._catalog = catalog
        self._files: dict[FileKey, _Attached] = {}
        self._held: dict[MapKey, _Attached] = {}
        self._dull: set[FileKey] = set()
        self._noticed: set[tuple[int, int, int]] = set()
        self._numbers = deque(range(1, MAX_LIBRARIES))
        self._next_sweep = 0.0
        self._warned = False
        self._open = 0  # links
        self._lock = threading.Lock()  # they are closed by several threads
        wanted = context.obj.spec.variables["targ_cookies"]
        self._cookies = bool(wanted) and COOKIE_HELPER in kernel_btf().enum_values("bpf_func_id")
        self.paths: dict[int, str] = {}

    def attach_all(self) -> None:
        """Attach to all that runs or is installed."""
        for copy in copies.mapped():
            self.look_at(copy)
        for copy in copies.installed():
            self.look_at(copy)

    def path(self, library: int) -> str | None:
        """The file of a number; None for one that was never given."""
        return self.paths.get(library)

    def notice(self, fields: dict[str, Any]) -> None:
        """Look at a process that has mapped a library, or begun a program, unless the file is known by now."""
        if self._is_full():
            return
        pid = fields["pid"]
        try:
            found = os.stat(f"/proc/{pid}/root{fields['path']}" if "inode" in fields else f"/proc/{pid}/exe")
        except (OSError, ValueError):
            found = None
        # A name that belongs to another file by now tells nothing.
        if found and fields.get("inode", found.st_ino) != found.st_ino:
            found = None
        # The number of a file that is gone is given to another one; that one was changed later.
        key = (found.st_dev, found.st_ino, found.st_ctime_ns) if found else None
        if key in self._noticed:
            return
        self.look_at_process(pid)
        if "inode" in fields and not fields["deleted"]:
            # Without privileges the process cannot be looked at. Under that name, this host may have the same file.
            major, minor = map(int, fields["device"].split(":"))
            self.look_at(
                Copy(
                    fields["path"],
                    find_library(fields["path"]),
                    (fields["path"],),
                    ((major, minor), fields["inode"]),
                    0,
                )
            )
        if key and len(self._files) < MAX_FILES:
            if len(self._noticed) >= MAX_SEEN:
                self._noticed.clear()
            self._noticed.add(key)

    def look_at_process(self, pid: int) -> None:
        """Attach to what a process has mapped, where that is new."""
        try:
            for copy in copies.mapped_by(pid):
                self.look_at(copy)
        except TracerError as error:
            self._log.detail(f"probe {self._catalog.name}: {error}")

    def look_at(self, copy: Copy) -> None:
        """Attach to a file, if it is new and has functions of the catalog."""
        if copy.key in self._held:
            return
        try:
            fd, key = copies.open_copy(copy)
        except TracerError as error:
            self._log.detail(f"probe {self._catalog.name}: {error}")
            return
        try:
            if key in self._dull:
                return
            file = self._files.get(key) or self._attach(copy, key, f"/proc/self/fd/{fd}")
            if file and len(self._held) < MAX_SEEN:
                found = os.fstat(fd)
                mapped = copy.key or ((os.major(found.st_dev), os.minor(found.st_dev)), found.st_ino)
                file.keys.add(mapped)
                file.installed |= copy.key is None
                # As long as it is attached to, the file's number is given to no other.
                self._held[mapped] = file
        except (BpfError, OSError) as error:
            self._forget(key)
            self._log.warning(f"probe {self._catalog.name}: cannot attach to {copy.path}: {error}")
        finally:
            os.close(fd)

    def _forget(self, key: FileKey) -> None:
        """It is not tried again."""
        if len(self._dull) >= MAX_SEEN:
            self._dull.clear()
        self._dull.add(key)

    def _attach(self, copy: Copy, key: FileKey, name: str) -> _Attached | None:
        with pybpfload.SymbolFile(name) as file:
            rows = self._catalog.rows(copy, file)
            if not rows:
                self._forget(key)
                return None
            if not self._has_room(copy):
                return None
            attached = _Attached(self._numbers.popleft(), key, installed=copy.key is None)
            self.paths[attached.number] = copy.path
            self._files[key] = attached
            places = {offset: attached.number << LIBRARY_SHIFT | row for offset, row in rows.items()}
            try:
                self._catalog.describe(self._context, attached.number, file, rows)
                self._describe(attached, copy, file, places)
                for program, ret, wanted in self._catalog.programs:
                    self._link(attached, program, ret, name, {o: places[o] for o, row in rows.items() if wanted(row)})
            except BaseException:
                self._let_go(attached)
                raise
        self._log.detail(f"probe {self._catalog.name}: {len(rows)} functions of {copy.path}")
        return attached

    def _put(self, attached: _Attached, table: str, entries: Sequence[tuple[Any, Any]]) -> None:
        attached.entries += [(table, key) for key, _ in entries]
        self._obj.maps[table].update(entries)

    def _describe(self, attached: _Attached, copy: Copy, file: SymbolFile, places: dict[int, int]) -> None:
        """Tell the kernel what it has to know of each place."""
        ends = {offset: file.code_around(offset) for offset in places}
        code = [(places[o], {"before": o - begin, "behind": end - o}) for o, (begin, end) in ends.items()]
        self._put(attached, "code_around", code)
        if self._cookies:
            return
        others = set(self._catalog.neighbours(copy, file)) - set(places) if self._catalog.neighbours else set()
        entries = []
        for offset, cookie in places.items():
            # A neighbour that is probed as well begins with a breakpoint, of another probe perhaps.
            for probed in {tuple(places), (*places, *others)}:
                raw = bytearray(file.read(offset, CODE_SIZE + len(BREAKPOINT)))
                for other in probed:
                    if 0 <= other - offset < len(raw):
                        at = other - offset
                        raw[at : at + len(BREAKPOINT)] = BREAKPOINT
                bytes_ = bytes(raw[len(BREAKPOINT) : len(BREAKPOINT) + CODE_SIZE]).ljust(CODE_SIZE, b"\0")
                entries.append(({"place": offset & PAGE_MASK, "bytes": list(bytes_), "pad": 0}, cookie))
        self._put(attached, "cookies", entries)

    def _link(self, attached: _Attached, program: str, ret: bool, name: str, places: dict[int, int]) -> None:
        if not places:
            return
        cookies = list(places.values()) if self._cookies else ()
        link = pybpfload.attach_uprobe_multi(
            self._obj.programs[program], name, offsets=list(places), cookies=cookies, ret=ret
        )
        with self._lock:
            self._open += 1
        link.also(self._closed)
        attached.links.append(link)
        self._links.append(link)

    def _closed(self) -> None:
        with self._lock:
            self._open -= 1
            last = not self._open
        if last and self._catalog.ended:
            self._catalog.ended(self._context)

    # Room.

    def _is_full(self) -> bool:
        """There is no room, and it was looked for a moment ago."""
        return len(self._files) >= MAX_FILES and time.monotonic() < self._next_sweep

    def _has_room(self, copy: Copy) -> bool:
        if len(self._files) < MAX_FILES:
            return True
        if not self._is_full():
            self._sweep()
        if len(self._files) < MAX_FILES:
            return True
        if not self._warned:
            self._warned = True
            self._log.warning(
                f"probe {self._catalog.name}: {MAX_FILES} library files are attached to, and all are in use: "
                f"{copy.path} is not watched"
            )
        return False

    def _sweep(self) -> None:
        """Let go of files that nobody maps."""
        self._next_sweep = time.monotonic() + SWEEP_S
        used = copies.keys_in_use()
        for attached in list(self._files.values()):
            if not attached.installed and not attached.keys & used:
                self._log.detail(f"probe {self._catalog.name}: nobody uses {self.paths[attached.number]} any more")
                self._let_go(attached)

    def _let_go(self, attached: _Attached) -> None:
        for link in attached.links:
            link.close()
            if link in self._links:
                self._links.remove(link)
        for table, key in attached.entries:
            self._obj.maps[table].pop(key, None)
        for mapped in attached.keys:
            self._held.pop(mapped, None)
        self._files.pop(attached.key, None)
        self._numbers.append(attached.number)
