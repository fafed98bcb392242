"""The running kernel's BTF."""

from __future__ import annotations

import os
import threading

from pybpfload.btf.blob import Btf
from pybpfload.errors import BtfError, UnsupportedError

__all__ = ["SYSFS_BTF", "kernel_btf"]

SYSFS_BTF = "/sys/kernel/btf/vmlinux"

_lock = threading.Lock()
_kernel: Btf | None = None


def kernel_btf() -> Btf:
    """The running kernel's BTF, read once a process and indexed at the first lookup.

    Raises:
        UnsupportedError: the kernel shows none.
        BtfError: it shows something that is not BTF.

    Kernel: 5.4, CONFIG_DEBUG_INFO_BTF.
    """
    global _kernel
    with _lock:
        if _kernel is None:
            try:
                with open(SYSFS_BTF, "rb") as file:
                    data = file.read()
            except FileNotFoundError:
                raise UnsupportedError(f"BTF of its own at {SYSFS_BTF}", "5.4 and CONFIG_DEBUG_INFO_BTF") from None
            except OSError as error:
                raise BtfError(f"{SYSFS_BTF}: {os.strerror(error.errno or 0)}") from error
            _kernel = Btf(data, name="vmlinux")
        return _kernel
