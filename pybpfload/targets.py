"""Where a target's BTF comes from: the running kernel, its modules, files, bytes, directories.

A kernel shows its BTF at /sys/kernel/btf/vmlinux. Where it does not, a vmlinux file with debug
information may lie in one of the places where distributions put them. BTF of another kernel comes
from a file: raw BTF (as from BTFHub or `bpftool gen min_core_btf`) or an ELF file with a .BTF section.
"""

from __future__ import annotations

import mmap
import os
import threading
from collections.abc import Iterator
from typing import Union

from pybpfload.btf.blob import Btf
from pybpfload.elf import ElfFile
from pybpfload.errors import BtfError, ObjectError, UnsupportedError, printable
from pybpfload.files import Path, read_file

__all__ = ["KernelTypes", "kernel_btf", "kernel_types", "module_btf", "read_btf"]

SYSFS = "/sys/kernel/btf"
# As libbpf searches them; {} is the release.
VMLINUX_PATHS = (
    f"{SYSFS}/vmlinux",
    "/boot/vmlinux-{}",
    "/lib/modules/{}/vmlinux-{}",
    "/lib/modules/{}/build/vmlinux",
    "/usr/lib/modules/{}/kernel/vmlinux",
    "/usr/lib/debug/boot/vmlinux-{}",
    "/usr/lib/debug/boot/vmlinux-{}.debug",
    "/usr/lib/debug/lib/modules/{}/vmlinux",
)
MAX_SIZE = 256 << 20
RAW_MAGICS = (b"\x9f\xeb", b"\xeb\x9f")

Source = Union[Path, bytes]


def read_btf(source: Source, *, base: Btf | None = None, name: str | None = None) -> Btf:
    """BTF from a file or from bytes.

    Args:
        source: raw BTF or an ELF file with a .BTF section, as bytes or as a path; or a directory that
            holds ``vmlinux``, ``RELEASE.btf`` or ``vmlinux-RELEASE`` for the running kernel's release.
        base: the kernel's BTF, for that of a module.
        name: how errors call it.

    Raises:
        BtfError: it holds no BTF, or malformed one.
        OSError: it cannot be read.
    """
    if isinstance(source, bytes):
        return _parse(source, name or "BTF", base)
    path = os.fspath(source)
    if os.path.isdir(path):
        path = _in_directory(path)
    label = printable(name or path)
    with open(path, "rb") as file:
        head = file.read(4)
        if head[:2] in RAW_MAGICS:
            return Btf(read_file(path, MAX_SIZE), base=base, name=label)
        if head != b"\x7fELF":
            raise BtfError(f"{label}: neither BTF nor ELF: it begins with {head.hex(' ') or 'nothing'}")
        # A vmlinux has hundreds of megabytes, and its BTF is a few of them.
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _from_elf(ElfFile(data, label), label, base)


def _in_directory(path: str) -> str:
    release = os.uname().release
    names = ("vmlinux", f"{release}.btf", f"vmlinux-{release}", f"vmlinux-{release}.btf")
    for name in names:
        if os.path.isfile(os.path.join(path, name)):
            return os.path.join(path, name)
    raise BtfError(f"{printable(path)}: holds none of {', '.join(names)}")


def _parse(data: bytes, label: str, base: Btf | None) -> Btf:
    if data[:4] == b"\x7fELF":
        return _from_elf(ElfFile(data, label), label, base)
    return Btf(data, base=base, name=label)


def _from_elf(elf: ElfFile, label: str, base: Btf | None) -> Btf:
    section = elf.section(".BTF")
    if section is None:
        raise BtfError(f"{label}: no .BTF section")
    return Btf(elf.data(section), base=base, name=label)


_lock = threading.Lock()
_kernel: Btf | None = None


def kernel_btf() -> Btf:
    """The running kernel's BTF: read once a process, indexed at the first lookup.

    Raises:
        UnsupportedError: it is in none of the places where it could be; names them.
        BtfError: what is there is not BTF.

    Kernel: 5.4, CONFIG_DEBUG_INFO_BTF.
    """
    global _kernel
    with _lock:
        if _kernel is None:
            _kernel = _find_kernel()
        return _kernel


def forget_kernel_btf() -> None:
    """Let go of what `kernel_btf` has read; it is read again when somebody asks.

    For programs that run on for long with all that they need attached: it is some 5 MB and more. The relocations of
    objects that were loaded refer to it too: `obj.relocations.clear()`.
    """
    global _kernel
    with _lock:
        _kernel = None


def _find_kernel() -> Btf:
    release = os.uname().release
    tried = []
    for template in VMLINUX_PATHS:
        path = template.format(release, release)
        try:
            return read_btf(path, name="vmlinux")
        except FileNotFoundError:
            tried.append(path)
        except OSError as error:
            tried.append(f"{path}: {error.strerror}")
        except ObjectError as error:
            # As libbpf: whatever lies there, another place may have the right one. The kernel's own is not doubted.
            if path == f"{SYSFS}/vmlinux":
                raise
            tried.append(f"{path}: {error}")
    raise UnsupportedError(f"BTF of its own (tried {', '.join(tried)})", "5.4 and CONFIG_DEBUG_INFO_BTF")


def module_btf(name: str, base: Btf) -> Btf:
    """The BTF of a loaded module.

    Raises:
        BtfError: malformed.
        OSError: there is no such module, or it has no BTF.

    Kernel: 5.11, 36e68442d1af.
    """
    return read_btf(os.path.join(SYSFS, name), base=base, name=name)


class KernelTypes:
    """A kernel's BTF, and that of its modules, which is read only by who goes on to them."""

    def __init__(self, vmlinux: Btf, *, modules: bool) -> None:
        self.vmlinux = vmlinux
        self._with_modules = modules
        self._modules: list[Btf] | None = None

    def __iter__(self) -> Iterator[Btf]:
        yield self.vmlinux
        yield from self.modules()

    def modules(self) -> list[Btf]:
        """The BTF of all modules; those that are malformed are left out, as they are not what anybody asked for."""
        if self._modules is None:
            self._modules = []
            names = sorted(os.listdir(SYSFS)) if self._with_modules and os.path.isdir(SYSFS) else []
            for name in names:
                if name != "vmlinux":
                    try:
                        self._modules.append(module_btf(name, self.vmlinux))
                    except (BtfError, OSError):
                        continue
        return self._modules


def kernel_types(btf: Btf | None = None) -> KernelTypes:
    """The running kernel's types, or those of the BTF that is given, which stands alone."""
    return KernelTypes(btf if btf is not None else kernel_btf(), modules=btf is None or btf is _kernel)
