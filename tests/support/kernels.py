"""Kernels to relocate against, as files: their types, symbols and configuration.

Types of other kernels are taken out of Debian's kernel packages, which shared/tools/kernel-matrix fetches. It
is looked for beside the checkout, or where KERNEL_MATRIX says. Where it is missing, tests that need it skip;
under CI they fail.
"""

from __future__ import annotations

import functools
import lzma
import os
import re
import struct
import subprocess
from pathlib import Path

import pybpfload
from pybpfload.btf import Btf, Kind
from pybpfload.btf import types as t
from pybpfload.btf.encode import encode
from pybpfload.elf import ElfFile
from tests.support.gates import require_tool, skip_or_fail
from tests.support.sources import ROOT

SERIES = ("5.10", "6.1", "6.12", "newest")
RUNNING, OWN_TYPES = "running", "own types"
# Modules that may have what objects look for: types, functions to attach to, kfuncs.
MODULES = ("nf_conntrack", "nfs", "tls")
# What objects ask of the configuration, for kernels whose own is not to be had.
KCONFIG = """\
CONFIG_BPF=y
CONFIG_BPF_SYSCALL=y
CONFIG_NET=y
CONFIG_HZ=250
CONFIG_DEFAULT_HOSTNAME="(none)"
"""
# Symbols whose addresses objects ask for; they get addresses that no kernel has, the same on every host.
SYMBOLS = ("bpf_prog_fops", "bpf_map_fops", "bpf_link_fops", "init_net", "schedule")
KALLSYMS = "".join([f"{0xFFFFFFFF81000000 + 4096 * i:016x} T {name}\n" for i, name in enumerate(SYMBOLS)])
LZ4_LEGACY, ZSTD, XZ = b"\x02\x21\x4c\x18", b"\x28\xb5\x2f\xfd", b"\xfd7zXZ"


class Target:
    """A kernel to relocate against.

    Attributes:
        folder: as /sys/kernel/btf: raw BTF in `vmlinux` and one file for each module.
        kallsyms, kconfig: texts that both loaders read in place of the host's.
        release: what uname says.
    """

    def __init__(self, folder: Path, release: str, vmlinux: bytes, kconfig: str = KCONFIG) -> None:
        self.folder = folder / "btf"
        self.release = release
        self.folder.mkdir(parents=True)
        self.kallsyms, self.kconfig = folder / "kallsyms", folder / "config"
        (self.folder / "vmlinux").write_bytes(vmlinux)
        self.kallsyms.write_text(KALLSYMS)
        self.kconfig.write_text(kconfig)

    @property
    def modules(self) -> dict[str, Path]:
        """The BTF files of its modules."""
        return {path.name: path for path in sorted(self.folder.iterdir()) if path.name != "vmlinux"}

    @functools.cached_property
    def btf(self) -> Btf:
        """Its vmlinux BTF, parsed once."""
        return Btf((self.folder / "vmlinux").read_bytes(), name="vmlinux")

    @property
    def version(self) -> int:
        """LINUX_VERSION_CODE of the release."""
        match = re.match(r"(\d+)\.(\d+)\.(\d+)", self.release)
        assert match, self.release
        major, minor, patch = (int(n) for n in match.groups())
        return major << 16 | minor << 8 | min(patch, 255)


def kernel_target(name: str, folder: Path) -> Target:
    """The running kernel, or one of a series, with all its files in a new folder."""
    if name == RUNNING:
        sysfs = Path("/sys/kernel/btf")
        if not (sysfs / "vmlinux").exists():
            skip_or_fail(f"this kernel has no BTF at {sysfs}")
        return Target(folder, os.uname().release, (sysfs / "vmlinux").read_bytes())
    kernel = fetched(name)
    vmlinux = btf_section(vmlinux_of((kernel / "vmlinuz").read_bytes()), f"vmlinux of {name}")
    assert vmlinux, f"kernel {name} has no BTF"
    target = Target(folder, (kernel / "release").read_text(), vmlinux, (kernel / "config").read_text())
    for module in MODULES:
        data = module_btf(kernel, module)
        if data:
            (target.folder / module).write_bytes(data)
    return target


def own_types(spec: pybpfload.ObjectSpec, folder: Path) -> Target:
    """A kernel that has just the types of an object, and takes its structs of functions: all is found there."""
    # Flavours are other kernels' types: here, they would be ambiguous.
    types = [x._replace(name=f"flavour_{x.id}") if "___" in x.name else x for x in spec.types()]  # type: ignore[call-arg]
    for definition in spec.maps.values():
        if definition.struct_ops is not None:
            held = spec.types().skip(definition.struct_ops.type_id)
            assert isinstance(held, t.Composite)
            members = (t.Member("data", held.id, 64, 0),)
            wrapper = f"bpf_struct_ops_{held.name}"
            types.append(t.Composite(len(types) + 1, Kind.STRUCT, wrapper, 8 + held.size, members))
    return Target(folder, "6.12.0", encode(types))


def fetched(series: str) -> Path:
    """The folder of a kernel in kernel-matrix's cache: vmlinuz, config, release, lib/modules."""
    tool = Path(os.environ.get("KERNEL_MATRIX", ROOT.parent / "shared" / "tools" / "kernel-matrix"))
    if not tool.exists():
        skip_or_fail("kernel-matrix, which fetches other kernels, is neither in ../shared/tools nor at $KERNEL_MATRIX")
    subprocess.run([str(tool), "fetch", "--arch", "amd64", series], check=True, stdout=subprocess.DEVNULL)
    cache = Path(os.environ.get("KERNEL_MATRIX_CACHE", Path.home() / ".cache" / "kernel-matrix"))
    return cache / "kernels" / "amd64" / series


def vmlinux_of(vmlinuz: bytes) -> bytes:
    """The ELF image inside a bzImage. Source: Documentation/arch/x86/boot.rst."""
    if vmlinuz[0x202:0x206] != b"HdrS":
        raise ValueError("no bzImage")
    offset, length = struct.unpack_from("<II", vmlinuz, 0x248)
    start = (vmlinuz[0x1F1] + 1) * 512 + offset
    payload = vmlinuz[start : start + length - 4]  # the last four bytes are the size
    if payload.startswith(XZ):
        return lzma.decompress(payload)
    tool = require_tool({LZ4_LEGACY: "lz4", ZSTD: "zstd"}[payload[:4]])
    return subprocess.run([tool, "-dc"], input=payload, check=True, capture_output=True).stdout


def btf_section(image: bytes, name: str) -> bytes | None:
    """The .BTF section of an ELF file, unless it stands on a .BTF.base of its own: ids will be others then."""
    elf = ElfFile(image, name)
    section = elf.section(".BTF")
    return bytes(elf.data(section)) if section and elf.section(".BTF.base") is None else None


def module_btf(kernel: Path, name: str) -> bytes | None:
    """The BTF of a module, or None."""
    for path in kernel.glob(f"lib/modules/*/kernel/**/{name}.ko*"):
        data = path.read_bytes()
        return btf_section(lzma.decompress(data) if path.suffix == ".xz" else data, name)
    return None
