"""mmap(2) of what a descriptor shares with the kernel; and giving memory back."""

from __future__ import annotations

import ctypes
import mmap

from pybpfload._sys.bpf import error_of

__all__ = ["give_back_memory", "map_shared"]


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


def give_back_memory() -> bool:
    """Give the system what has been freed, and the C library keeps for later; False if that library cannot.

    For programs that run on for long after they have loaded much, as `forget_kernel_btf`: some megabytes.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it, musl does not
    return bool(trim and trim(0))
