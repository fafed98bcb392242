# SPDX-License-Identifier: MIT
"""Which container a process runs in, from the names of its control groups.

Every runtime names the control group of a container after it, each in its own way::

    docker          /docker/ID                                   /system.slice/docker-ID.scope
    containerd      /kubepods/burstable/podUID/ID                ...-podUID.slice/cri-containerd-ID.scope
    CRI-O           /kubepods/podUID/crio-ID                     ...podUID.slice/crio-ID.scope
    podman          /libpod_parent/libpod-ID                     /machine.slice/libpod-ID.scope/container
    LXC, nspawn     /lxc.payload.NAME   /lxc/NAME                /machine.slice/machine-NAME.scope

The innermost container counts. Helpers of a runtime (`libpod-conmon-ID`) are no container.
"""

from __future__ import annotations

import os
import re
from collections import OrderedDict
from typing import NamedTuple

from tracer.proc import reader

CAPACITY = 4096
MAX_BYTES = 1 << 16

_ID = r"(?P<id>[0-9a-f]{64})"
_KEY = r"(?P<id>[0-9a-f]{32}-[0-9]{1,20}|[0-9a-f]{64})"
_NAME = r"(?P<id>[A-Za-z0-9](?:[A-Za-z0-9_.-]|\\x[0-9a-f]{2}){0,127})"
_UID = r"(?P<uid>[0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12}|[0-9a-f]{32})"
_POD = re.compile(rf"(?:^|[-/:])pod{_UID}(?:\.slice|$|(?=[/:]))")

# The name of one directory, the one that it lies in as far as that matters, and the runtime.
_RULES = (
    (re.compile(rf"docker-{_ID}\.scope"), "", "docker"),
    (re.compile(_ID), "docker", "docker"),
    (re.compile(r"(?P<id>[a-z0-9]{25})"), "buildkit", "buildkit"),
    (re.compile(rf"(?:.*:)?cri-containerd[-:]{_ID}(?:\.scope)?"), "", "containerd"),
    (re.compile(rf"nerdctl-{_ID}\.scope"), "", "containerd"),
    (re.compile(rf"(?:.*:)?crio[-:]{_ID}(?:\.scope)?"), "", "cri-o"),
    (re.compile(rf"libpod(?:-payload)?-{_ID}(?:\.scope)?"), "", "podman"),
    (re.compile(_KEY), "ecs", "ecs"),
    (re.compile(rf"lxc\.payload\.{_NAME}"), "", "lxc"),
    (re.compile(_NAME), "lxc", "lxc"),
    (re.compile(rf"machine-{_NAME}\.scope"), "", "nspawn"),
    (re.compile(rf"systemd-nspawn@{_NAME}\.service"), "", "nspawn"),
    (re.compile(_ID), "pod", "containerd"),
    (re.compile(_ID), "", ""),
)
_ESCAPED = re.compile(r"\\x([0-9a-f]{2})")


class Container(NamedTuple):
    """A container.

    Attributes:
        id: as the runtime calls it: 64 digits for most.
        runtime: ``docker``, ``containerd``, ``cri-o``, ``podman``, ``lxc``, ...; "" if the name does not tell.
        pod: uid of the Kubernetes pod that it belongs to, or "".
    """

    id: str
    runtime: str
    pod: str = ""


def parse_path(path: str) -> Container | None:
    """The container whose processes a control group of this path holds; None if it is none."""
    parts = [part for part in path.split("/") if part][-64:]
    for at in range(len(parts) - 1, -1, -1):
        name = parts[at]
        above = parts[max(at - 2, 0) : at]
        for pattern, folder, runtime in _RULES:
            found = pattern.fullmatch(name)
            if found and _lies_in(folder, above):
                pods = _POD.findall("/".join(parts[: at + 1]))
                pod = pods[-1].replace("_", "-") if pods else ""
                return Container(_ESCAPED.sub(_unescape, found["id"]), runtime, pod)
    return None


def _lies_in(folder: str, above: list[str]) -> bool:
    if not folder:
        return True
    if folder == "pod":
        return bool(above) and bool(_POD.search(above[-1]))
    return folder in (above if folder == "ecs" else above[-1:])


def _unescape(found: re.Match[str]) -> str:
    return chr(int(found[1], 16))


def parse_file(text: str) -> Container | None:
    """The same from the content of /proc/PID/cgroup: of the one hierarchy of v2, else of any of v1."""
    paths = {}
    for line in text.split("\n"):
        parts = line.split(":", 2)
        if len(parts) == 3:
            paths[parts[0]] = parts[2].removesuffix(" (deleted)")
    for number in sorted(paths, key=lambda number: (number != "0", number)):
        found = parse_path(paths[number])
        if found:
            return found
    return None


def read_container(pid: int) -> Container | None:
    """The container of a process that runs.

    Raises:
        GoneError: there is no such process.
        HiddenError: we may not look.
    """
    try:
        fd = os.open(f"/proc/{pid}/cgroup", os.O_RDONLY | os.O_CLOEXEC)
        try:
            raw = os.read(fd, MAX_BYTES)
        finally:
            os.close(fd)
    except OSError as error:
        raise reader.translated(error, pid) from error
    return parse_file(raw.decode("utf-8", "surrogateescape"))


# Process id, start time in clock ticks, id of the control group.
Key = tuple[int, int, int]


class ContainerTable:
    """The containers of the processes that events come from; the least recently used are forgotten.

    A process is asked once for each control group it is seen in, and a new process is where its parent was.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._known: OrderedDict[Key, Container | None] = OrderedDict()

    def find(self, pid: int, start_ns: int, cgroup: int) -> Container | None:
        """The container of a process, or None if it has none, or nobody knows any more.

        Args:
            start_ns: when the process started, in nanoseconds since boot.
            cgroup: id of its control group in v2, 0 if it is not known.
        """
        try:
            return self.look(pid, start_ns, cgroup)
        except (reader.GoneError, reader.HiddenError):
            return None

    def look(self, pid: int, start_ns: int, cgroup: int) -> Container | None:
        """The same, but None only if it has none.

        Raises:
            GoneError, HiddenError: nobody knows.
        """
        key = (pid, reader.ticks(start_ns), cgroup)
        try:
            found = self._known[key]
        except KeyError:
            pass
        else:
            self._known.move_to_end(key)
            return found
        # In this order: a process that is the right one now was the right one just before.
        found = read_container(pid)
        if reader.identity(pid).start_ticks != key[1]:
            raise reader.GoneError(f"process {pid} is another one now")
        self._remember(key, found)
        return found

    def forked(self, key: tuple[int, int], child: tuple[int, int], cgroup: int) -> None:
        """A process made another one; both by id and start time in nanoseconds."""
        parent_key = (key[0], reader.ticks(key[1]), cgroup)
        if parent_key in self._known:
            self._remember((child[0], reader.ticks(child[1]), cgroup), self._known[parent_key])

    def ended(self, pid: int, start_ns: int, cgroup: int) -> None:
        """The process is gone."""
        self._known.pop((pid, reader.ticks(start_ns), cgroup), None)

    def _remember(self, key: Key, found: Container | None) -> None:
        self._known[key] = found
        if len(self._known) > self._capacity:
            self._known.popitem(last=False)
