# SPDX-License-Identifier: MIT
"""The executables of processes that run, each searched once, until the budget is used up."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from tracer.catalog.libraries import MEMFD
from tracer.proc.static import StaticCrypto, find_static

if TYPE_CHECKING:
    from tracer.proc.libfile import LibraryFiles
    from tracer.proc.maps import Mapping

# How much is read of all executables together: what a processor gets through in half a second.
BUDGET = 256 << 20

Key = tuple[tuple[int, int], int]


class Executables:
    """What they have inside.

    Args:
        files: knows which file systems answer by themselves.

    Attributes:
        skipped: how many were not searched: the budget was used up, or we may not read them.
    """

    def __init__(self, files: LibraryFiles, budget: int = BUDGET) -> None:
        self._files = files
        self._left = budget
        self._known: dict[Key, list[StaticCrypto]] = {}
        self.skipped = 0

    def inside(self, pid: int, exe: str | None, mappings: list[Mapping]) -> list[StaticCrypto]:
        """What the executable of a process has inside.

        Args:
            exe: its name in the view of the process.
            mappings: files that the process has mapped; the executable is one of them.
        """
        found = next((mapping for mapping in mappings if mapping.path == exe), None)
        if found is None:
            return []
        key = (found.device, found.inode)
        if key not in self._known:
            self._known[key] = self._search(pid, found)
        return list(self._known[key])

    def _search(self, pid: int, mapping: Mapping) -> list[StaticCrypto]:
        device = f"{mapping.device[0]}:{mapping.device[1]}"
        # A file in memory is on a file system that nobody has mounted.
        quick = mapping.path.startswith("/" + MEMFD) or self._files.is_quick(pid, device)
        if self._left <= 0 or not quick:
            self.skipped += 1
            return []
        try:
            # It opens the file itself: deleted, in a container, or replaced since.
            fd = os.open(f"/proc/{pid}/exe", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        except OSError:
            self.skipped += 1
            return []
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode) or status.st_ino != mapping.inode:
                return []  # it runs something else since
            found, size = find_static(fd)
        except OSError:
            self.skipped += 1
            return []
        finally:
            os.close(fd)
        self._left -= size
        return found
