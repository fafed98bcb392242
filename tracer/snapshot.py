# SPDX-License-Identifier: MIT
"""What runs now, from /proc alone: no BPF, and no privilege for one's own processes.

Processes that end while they are looked at are left out, and those that we may not look at are counted. Executables
are searched for cryptography of their own as long as the budget lasts: those that had to be left out are counted.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from tracer.catalog.libraries import soname_version
from tracer.clock import utc_text
from tracer.documents import VERSION
from tracer.pipeline.doubts import doubts
from tracer.pipeline.patterns import match_container, match_file, match_library, match_name
from tracer.pipeline.redact import text_redactor
from tracer.proc import facts, find, kernel, maps, reader
from tracer.proc.executables import Executables
from tracer.proc.ktls import tls_sockets
from tracer.proc.libfile import LibraryFiles

if TYPE_CHECKING:
    from argparse import Namespace

    from tracer.catalog.libraries import Library
    from tracer.proc.facts import Facts
    from tracer.proc.ktls import TlsSocket
    from tracer.proc.maps import Mapping
    from tracer.proc.static import StaticCrypto

    Loaded = tuple[Mapping, Library]


class Snapshot:
    """Collects what runs, as far as the options ask for it.

    Args:
        options: pid, name, library, file, uid, cgroup, container, no_redact and words.
    """

    def __init__(self, options: Namespace) -> None:
        self._options = options
        self._hide = text_redactor(redact=not options.no_redact, words=options.words)
        self._names = [match_name(name) for name in options.name]
        self._libraries = [match_library(name) for name in options.library]
        self._files = [match_file(pattern) for pattern in options.file]
        self._containers = [match_container(name) for name in options.container]
        self._known: dict[tuple[Any, ...], dict[str, Any]] = {}
        self._library_files = LibraryFiles()
        self._executables = Executables(self._library_files)
        self._static: dict[tuple[str, StaticCrypto], dict[str, Any]] = {}
        self._seen = self._hidden = 0

    def warn(self, say: Callable[[str], None]) -> None:
        """Say which filters can match nothing."""
        for doubt in doubts(self._options):
            say(doubt)

    def document(self, tell: Callable[[int, int], None] = lambda _done, _total: None) -> dict[str, Any]:
        """The document: see `tracer.documents.SNAPSHOT`.

        Args:
            tell: is told after each process how many have been looked at, and how many there are.

        Raises:
            TracerError: a control group cannot be read.
        """
        host = os.uname()
        pids, processes = self._pids(), []
        for number, pid in enumerate(pids, 1):
            processes += self._process(pid)
            tell(number, len(pids))
        libraries = sorted(self._known.values(), key=lambda row: (row["name"], row["path"]))
        files = {path for row in processes for path in row["open_crypto_files"]}
        return {
            "snapshot_version": VERSION,
            "generated_at": utc_text(time.time_ns()),
            "hostname": host.nodename,
            "kernel": host.release,
            "processes": processes,
            "summary": {
                "total_processes": len(processes),
                "total_libraries": len(libraries),
                "total_files": len(files),
                "processes_seen": self._seen,
                "processes_hidden": self._hidden,
                "executables_skipped": self._executables.skipped,
            },
            "libraries": libraries,
            "static_crypto": sorted(self._static.values(), key=lambda row: (row["name"], row["path"])),
            "kernel_crypto": {
                "fips_enabled": kernel.fips_enabled(),
                "algorithms": kernel.algorithms(),
                "evidence": "available",
            },
            "kernel_tls": [_tls_row(each) for each in tls_sockets()],
        }

    def _pids(self) -> list[int]:
        wanted = set(reader.running()) - {os.getpid()}
        if self._options.pid:
            wanted &= set(self._options.pid)
        if self._options.cgroup:
            members = (find.cgroup_members(find.cgroup_directory(name)) for name in self._options.cgroup)
            wanted &= set().union(*members)
        return sorted(wanted)

    def _process(self, pid: int) -> list[dict[str, Any]]:
        """The row of a process; none if it has nothing to do with cryptography, or is not asked for."""
        try:
            found = facts.facts(pid)
            if not self._is_wanted(found):
                return []
            self._seen += 1
            mappings, files = maps.executable_mappings(pid), facts.open_files(pid)
            loaded, inside = facts.among(mappings), self._executables.inside(pid, found.exe, mappings)
            # In this order: a process that is the same now was the same just before.
            if reader.identity(pid).start_ticks != found.start_ticks:
                return []
        except reader.GoneError:
            return []
        except reader.HiddenError:
            self._hidden += 1
            return []
        if self._libraries:
            loaded = [each for each in loaded if self._is_wanted_library(each[0].path, each[1].name)]
            inside = [each for each in inside if self._is_wanted_library(found.exe or "", each.name)]
        if self._files:
            files = [path for path in files if any(match(path) for match in self._files)]
        if (self._libraries and not (loaded or inside)) or (self._files and not files):
            return []
        return [self._row(found, loaded, files, inside)] if loaded or files or inside else []

    def _is_wanted_library(self, path: str, name: str) -> bool:
        return any(match(path, name) for match in self._libraries)

    def _is_wanted(self, found: Facts) -> bool:
        if self._options.uid and found.uid not in self._options.uid:
            return False
        if self._names and not any(match(found.name) for match in self._names):
            return False
        if self._containers:
            return found.container is not None and any(match(found.container) for match in self._containers)
        return True

    def _row(self, found: Facts, loaded: list[Loaded], files: list[str], inside: list[StaticCrypto]) -> dict[str, Any]:
        for mapping, library in loaded:
            self._count(found.pid, mapping, library)
        for each in inside:
            self._count_static(found.exe or "", each)
        return {
            "pid": found.pid,
            "name": self._hide(found.name),
            "exe": None if found.exe is None else self._hide(found.exe),
            "running_as": f"uid:{found.uid}",
            "libraries": _sorted(self._hide(mapping.path) for mapping, _ in loaded),
            "open_crypto_files": _sorted(map(self._hide, files)),
            "container": found.container,
            "deleted_libraries": _sorted(self._hide(mapping.path) for mapping, _ in loaded if mapping.deleted),
            "static_crypto": _sorted(f"{each.name} {each.version}".rstrip() for each in inside),
        }

    def _count(self, pid: int, mapping: Mapping, library: Library) -> None:
        key = (mapping.device, mapping.inode, mapping.path)
        row = self._known.get(key)
        if row is None:
            device = f"{mapping.device[0]}:{mapping.device[1]}"
            told = self._library_files.describe(pid, mapping.path, device, mapping.inode, library.family)
            row = self._known[key] = {
                "name": library.name,
                "path": self._hide(mapping.path),
                "family": library.family,
                "version": told.version or soname_version(mapping.path) or None,
                "build_id": told.build_id or None,
                "process_count": 0,
                "evidence": "loaded",
            }
        row["process_count"] += 1

    def _count_static(self, path: str, each: StaticCrypto) -> None:
        row = self._static.setdefault(
            (path, each),
            {
                "name": each.name,
                "path": self._hide(path),
                "version": each.version or None,
                "details": [self._hide(text) for text in each.details],
                "evidence": "available",
                "process_count": 0,
            },
        )
        row["process_count"] += 1


def _tls_row(found: TlsSocket) -> dict[str, Any]:
    (local_address, local_port), (peer_address, peer_port) = found.local, found.peer
    return {
        "local_address": local_address,
        "local_port": local_port,
        "peer_address": peer_address,
        "peer_port": peer_port,
        "version": found.version,
        "cipher": found.cipher,
        "send": found.send,
        "receive": found.receive,
        "evidence": "negotiated",
    }


def _sorted(texts: Iterable[str]) -> list[str]:
    return sorted(set(texts))


def summary(document: dict[str, Any]) -> Iterable[str]:
    """The document as text."""
    counts = document["summary"]
    crypto = document["kernel_crypto"]
    yield f"{document['hostname']}, Linux {document['kernel']}, {document['generated_at']}"
    yield (
        f"{counts['total_processes']} of {counts['processes_seen']} processes use cryptography: "
        f"{counts['total_libraries']} libraries, {counts['total_files']} open files"
    )
    if counts["processes_hidden"]:
        yield f"processes hidden from this user: {counts['processes_hidden']}"
    if counts["executables_skipped"]:
        yield f"executables that were not searched: {counts['executables_skipped']}"
    fips = {None: "unknown", True: "on", False: "off"}[crypto["fips_enabled"]]
    yield f"kernel: {len(crypto['algorithms'])} algorithms, FIPS mode {fips}"
    yield from _table("sockets whose TLS the kernel does", document["kernel_tls"], _socket_line)
    yield from _table("libraries", document["libraries"], _library_line)
    yield from _table("inside executables (available, perhaps not used)", document["static_crypto"], _static_line)
    yield from _table("processes", document["processes"], _process_line)


def _table(title: str, rows: list[dict[str, Any]], line: Callable[[dict[str, Any]], str]) -> Iterable[str]:
    if rows:
        yield ""
        yield f"{title}:"
        yield from map(line, rows)


def _library_line(row: dict[str, Any]) -> str:
    return f"{row['process_count']:>8}  {row['name']} {row['version'] or '?'}  {row['path']}"


def _static_line(row: dict[str, Any]) -> str:
    return f"{row['process_count']:>8}  {row['name']} {row['version'] or '?'}  {row['path']}"


def _process_line(row: dict[str, Any]) -> str:
    files = f", {len(row['open_crypto_files'])} files" if row["open_crypto_files"] else ""
    inside = f", {', '.join(row['static_crypto'])}" if row["static_crypto"] else ""
    return f"{row['pid']:>8}  {row['name']}  {row['running_as']}  {len(row['libraries'])} libraries{files}{inside}"


def _socket_line(row: dict[str, Any]) -> str:
    ends = " -> ".join(f"{row[f'{end}_address']}:{row[f'{end}_port']}" for end in ("local", "peer"))
    return f"          {ends}  {row['version']} {row['cipher']}"
