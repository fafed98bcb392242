# SPDX-License-Identifier: MIT
"""Calls of dlopen() by name, those that fail too.

The function is in the C library, so each copy of one that runs is attached to: that of this host, and those of
containers, old and new. A new one is looked for when a program begins whose executable is not known yet.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import pybpfload
from pybpfload.errors import BpfError
from tracer.errors import TracerError
from tracer.probes.base import Probe
from tracer.proc import reader
from tracer.proc.maps import Mapping, executable_mappings

if TYPE_CHECKING:
    from tracer.model import Event
    from tracer.probes.base import Context

FUNCTION = "dlopen"
# glibc has had it in libdl until 2.34; musl is one file that is the dynamic loader, too.
C_LIBRARY = re.compile(r"/(?:lib(?:c|dl)(?:\.so\.[62]|-2\.[0-9]+\.so|\.so)|ld-musl-[^/]+\.so\.1)$")

# Files that are remembered: containers come and go, memory stays.
CAPACITY = 1024

FileKey = tuple[tuple[int, int], int]


class Known:
    """What has been looked at.

    Attributes:
        files: C libraries by device and inode, attached to or without the function.
        programs: executables by device and inode, whose C library is known.
    """

    def __init__(self) -> None:
        self.files: set[FileKey] = set()
        self.programs: set[tuple[int, int]] = set()


def attach(context: Context) -> None:
    """To the C libraries of all processes that run."""
    known = context.state = Known()
    for pid in reader.running():
        _look_at(context, known, pid)


def on_event(context: Context, event: Event) -> None:
    """To that of a new program, if it is another one: in a new container, for one."""
    _look_at(context, context.state, event.fields["pid"])


def _look_at(context: Context, known: Known, pid: int) -> None:
    try:
        status = os.stat(f"/proc/{pid}/exe")
        program = (status.st_dev, status.st_ino)
        if program in known.programs or len(known.files) >= CAPACITY:
            return
        found = [mapping for mapping in executable_mappings(pid) if C_LIBRARY.search(mapping.path)]
    except (OSError, TracerError):
        return
    for mapping in found:
        key = (mapping.device, mapping.inode)
        if key not in known.files and not mapping.deleted:
            known.files.add(key)
            _attach_to(context, pid, mapping)
    # The loader maps the C library a little after the program has begun.
    if found:
        if len(known.programs) >= CAPACITY:
            known.programs.clear()
        known.programs.add(program)


def _attach_to(context: Context, pid: int, mapping: Mapping) -> None:
    path = f"/proc/{pid}/root{mapping.path}"
    links = []
    try:
        for name, ret in (("on_dlopen_return", True), ("on_dlopen", False)):
            program = context.obj.programs[name]
            links.append(pybpfload.attach_uprobe(program, path, FUNCTION, ret=ret))
    except BpfError as error:
        for link in links:
            link.close()
        context.log.detail(f"probe lib_open: {mapping.path} of process {pid}: {error}")
        return
    context.links += links


LIB_OPEN = Probe("lib_open", attach=attach, wants=("process_exec",), on_event=on_event)
