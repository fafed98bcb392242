"""mmap(2) of what a descriptor shares with the kernel."""

from __future__ import annotations

import mmap

from pybpfload._sys.bpf import error_of

__all__ = ["map_shared"]


def map_shared(fd: int, length: int, what: str, *, offset: int = 0, write: bool = False) -> mmap.mmap:
    """Shared memory, as long as the kernel keeps it; the mapping outlives the descriptor.

    Raises:
        SyscallError: the kernel refused; for perf buffers, EPERM stands for too much locked memory.
    """
    protection = mmap.PROT_READ | (mmap.PROT_WRITE if write else 0)
    try:
        return mmap.mmap(fd, length, mmap.MAP_SHARED, protection, offset=offset)
    except OSError as error:
        raise error_of(error.errno or 0, f"mmap {what}", f"{length} bytes") from error
