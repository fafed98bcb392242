"""USDT probes, for programs that are written with libbpf's usdt.bpf.h.

Such a program looks up where its arguments are: `__bpf_usdt_specs` has a row for each way in which the
places of a probe pass them. Which row, the cookie says; or, on kernels without cookies, a second map from
the instruction's address. Rows are shared between places that pass their arguments alike, and are given back
when the link is closed.
"""

from __future__ import annotations

import struct
import threading

from pybpfload._sys import maps as sys_maps
from pybpfload.errors import AttachError, BpfError, UnsupportedError
from pybpfload.features import has
from pybpfload.links import paths
from pybpfload.links.base import Link
from pybpfload.links.uprobe import Places, attach_places
from pybpfload.maps import Map
from pybpfload.progs import Program
from pybpfload.symbols import UsdtSite, usdt_sites
from pybpfload.symbols.image import Image
from pybpfload.symbols.usdt_args import pack_spec, parse_arguments

__all__ = ["attach_usdt"]

SPECS, BY_ADDRESS = "__bpf_usdt_specs", "__bpf_usdt_ip_to_spec_id"
ET_EXEC = 2
_lock = threading.Lock()


class _Rows:
    """Which rows of a map of specs are in use, by how many places."""

    def __init__(self, map: Map) -> None:
        self._map = map
        self._numbers: dict[bytes, int] = {}
        self._users: dict[bytes, int] = {}

    def take(self, spec: bytes) -> int:
        """The row of a spec, which is written if it is new."""
        number = self._numbers.get(spec)
        if number is None:
            used = set(self._numbers.values())
            number = next((i for i in range(self._map.max_entries) if i not in used), -1)
            if number < 0:
                raise AttachError(
                    self._map.name,
                    "one more row",
                    f"all {self._map.max_entries} are in use: define BPF_USDT_MAX_SPEC_CNT larger",
                )
            sys_maps.update(self._map.fileno(), self._map.name, struct.pack("=I", number), spec)
            self._numbers[spec] = number
        self._users[spec] = self._users.get(spec, 0) + 1
        return number

    def give_back(self, spec: bytes) -> bool:
        """One user less; whether nobody uses any row any more."""
        self._users[spec] -= 1
        if not self._users[spec]:
            del self._users[spec], self._numbers[spec]
        return not self._users


# By the kernel's number of the map.
_rows: dict[int, _Rows] = {}


def attach_usdt(
    program: Program,
    path: str = "",
    provider: str = "",
    name: str = "",
    *,
    pid: int = -1,
    cookie: int = 0,
    kind: str | None = None,
) -> Link:
    """All places of a USDT probe in a file.

    Args:
        path: as for attach_uprobe(). "" takes all three from SEC(usdt/PATH:PROVIDER:NAME).
        pid: one process, or -1 for all.
        cookie: what bpf_usdt_cookie() gives.
        kind: as for attach_uprobe().

    Raises:
        AttachError: the file has no such probe, passes its arguments in ways that are unknown, or the
            program was not written with usdt.bpf.h.

    Kernel: 4.20, a6ca88b241d5, for probes with a semaphore; without cookies (before 5.15) libraries need `pid`.
    """
    if not path:
        path, provider, name = _from_section(program)
    target = f"usdt {path}:{provider}:{name}"
    try:
        specs = program.maps[SPECS]
    except KeyError:
        raise AttachError(program.name, target, f"its object has no map {SPECS}: it needs usdt.bpf.h") from None
    try:
        real = paths.resolve(path, pid)
        with Image(real) as image:
            sites = usdt_sites(image, provider, name)
            machine, fixed = image.elf.machine, image.elf.type == ET_EXEC
        packed = [pack_spec(parse_arguments(site.arguments, machine), cookie) for site in sites]
        return _attach(program, specs, real, sites, packed, target, pid, fixed, kind)
    except (BpfError, OSError) as cause:
        if isinstance(cause, AttachError):
            raise
        raise AttachError(program.name, target, cause) from cause


def _from_section(program: Program) -> tuple[str, str, str]:
    parts = program.spec.target.rsplit(":", 2)
    if len(parts) != 3 or not all(parts):
        raise AttachError(program.name, f"SEC({program.spec.section!r})", "expected SEC(usdt/PATH:PROVIDER:NAME)")
    return parts[0], parts[1], parts[2]


def _attach(
    program: Program,
    specs: Map,
    path: str,
    sites: list[UsdtSite],
    packed: list[bytes],
    target: str,
    pid: int,
    fixed: bool,
    kind: str | None,
) -> Link:
    by_cookie = has("bpf_cookie")
    number = specs.id
    with _lock:
        rows = _rows.setdefault(number, _Rows(specs))
    taken: list[bytes] = []
    addresses: list[bytes] = []

    def give_back() -> None:
        with _lock:
            for spec in taken:
                if rows.give_back(spec):
                    _rows.pop(number, None)
        for key in addresses:
            try:
                sys_maps.delete(program.maps[BY_ADDRESS].fileno(), BY_ADDRESS, key)
            except ValueError:
                return  # the map is closed, and with it the object

    try:
        numbers = []
        with _lock:
            for spec in packed:
                numbers.append(rows.take(spec))
                taken.append(spec)
        if not by_cookie:
            _enter_addresses(program, path, sites, numbers, pid, fixed, addresses)
        semaphores = [site.semaphore for site in sites]
        places = Places(
            path,
            [site.offset for site in sites],
            semaphores if any(semaphores) else [],
            numbers if by_cookie else [],
        )
        link = attach_places(program, places, target, ret=False, pid=pid, kind=kind)
    except BaseException:
        give_back()
        raise
    link.also(give_back)
    return link


def _enter_addresses(
    program: Program,
    path: str,
    sites: list[UsdtSite],
    numbers: list[int],
    pid: int,
    fixed: bool,
    entered: list[bytes],
) -> None:
    """For kernels without cookies: where the instructions are in the process's memory."""
    by_address = program.maps.get(BY_ADDRESS)
    if by_address is None:
        raise UnsupportedError("cookies, and the program no map from addresses", "5.15")
    for site, number in zip(sites, numbers):
        address: int | None = site.address
        if not fixed:
            if pid < 0:
                raise UnsupportedError("cookies: a library's probe can be attached to one process (pid) only", "5.15")
            address = paths.mapped_at(pid, path, site.offset)
            if address is None:
                raise UnsupportedError(f"mapping of {path} in process {pid}")
        key = struct.pack("=Q", address)
        sys_maps.update(by_address.fileno(), by_address.name, key, struct.pack("=I", number))
        entered.append(key)
