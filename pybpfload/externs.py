"""Externs, resolved on the running kernel: addresses, typed variables, kfuncs.

Source: bpf_object__resolve_externs(), bpf_object__relocate_data() in libbpf.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from pybpfload import insn, kconfig
from pybpfload._sys import progs as sys_progs
from pybpfload.btf import types as t
from pybpfload.btf.blob import Btf, essential_name
from pybpfload.btf.types import Kind
from pybpfload.core.match import types_compatible
from pybpfload.errors import PrivilegeError, RelocationError, UnsupportedError, printable
from pybpfload.features import has
from pybpfload.spec import ExternSpec, ObjectParts, Ref
from pybpfload.targets import KernelTypes

if TYPE_CHECKING:
    from contextlib import ExitStack

__all__ = ["Externs"]

KALLSYMS = "/proc/kallsyms"
MAX_MODULES = 0x7FFF  # fd_array slots that a call can name


class _Found(NamedTuple):
    """Where an extern is: an address, or a type of the kernel (module None) or of a module."""

    address: int = 0
    type_id: int = 0
    module: Btf | None = None


class Externs:
    """Resolves the externs of one object; closes the module BTF that it opened with `stack`.

    Attributes:
        fd_array: what the kernel needs beside calls of kfuncs in modules; [0] stands for vmlinux.
    """

    def __init__(self, spec: ObjectParts, kernel: KernelTypes, stack: ExitStack) -> None:
        self._spec = spec
        self._kernel = kernel
        self._stack = stack
        self._found: dict[str, _Found | None] = {}
        self._module_fds: dict[str, int] = {}
        self.fd_array: list[int] = [0]

    def fill_kconfig(self) -> None:
        """Give every option of .kconfig its value."""
        if ".kconfig" not in self._spec.maps:
            return
        made_up = {
            "LINUX_KERNEL_VERSION": kconfig.kernel_version(),
            "LINUX_HAS_BPF_COOKIE": int(has("bpf_cookie")),
            "LINUX_HAS_SYSCALL_WRAPPER": int(bool(_syscall_wrapper())),
        }
        wanted = any(n.startswith("CONFIG_") for n in self._spec.externs)
        config = kconfig.read_config() if wanted else {}
        config.update(kconfig.parse_config(self._spec.kconfig))
        kconfig.fill_kconfig(self._spec, made_up, config)

    def fill_symbol(self, code: bytearray, ref: Ref) -> None:
        """A 64-bit load of a symbol's address, or of a typed variable or kfunc."""
        found = self._resolve(ref.name)
        low, high = insn.read(code, ref.slot), insn.read(code, ref.slot + 1)
        if found is None or not found.type_id:
            address = found.address if found else 0
            low, high = low._replace(src=0, imm=address), high._replace(imm=address >> 32)
        else:
            fd = self.module_fd(found.module) if found.module else 0
            low, high = low._replace(src=insn.PSEUDO_BTF_ID, imm=found.type_id), high._replace(imm=fd)
        insn.write(code, ref.slot, low)
        insn.write(code, ref.slot + 1, high)

    def fill_kfunc(self, code: bytearray, ref: Ref) -> None:
        """A call of a kernel function; one that is weak and missing becomes a call that must be dead."""
        found = self._resolve(ref.name)
        op = insn.read(code, ref.slot)
        if found is None:
            # As libbpf counts: options first, then symbols by name.
            rows = sorted((e.section != ".kconfig", os.fsencode(e.name)) for e in self._spec.externs.values())
            number = rows.index((True, os.fsencode(ref.name)))
            insn.write(code, ref.slot, insn.Insn(insn.CALL, 0, 0, 0, insn.POISON_KFUNC + number))
            return
        slot = self._slot(found.module) if found.module else 0
        insn.write(code, ref.slot, op._replace(src=insn.PSEUDO_KFUNC_CALL, off=slot, imm=found.type_id))

    def _resolve(self, name: str) -> _Found | None:
        if name not in self._found:
            extern = self._spec.externs[name]
            declared = self._spec.types().type(extern.type_id)
            where = f"{self._spec.source}: extern `{printable(name)}`: "
            if isinstance(declared, t.Func):
                found = self._typed(extern, declared.type, Kind.FUNC, where)
            elif isinstance(self._spec.types().skip(declared.type), t.Void):  # type: ignore[union-attr]
                found = _address(name, where)
            else:
                found = self._typed(extern, declared.type, Kind.VAR, where)  # type: ignore[union-attr]
            if found is None and not extern.weak:
                what = "kernel function" if isinstance(declared, t.Func) else "symbol"
                raise UnsupportedError(f"{what} `{printable(name)}`, which {printable(self._spec.source)} needs")
            self._found[name] = found
        return self._found[name]

    def _typed(self, extern: ExternSpec, local_id: int, kind: Kind, where: str) -> _Found | None:
        """A VAR or FUNC of the kernel, whose type has to be compatible."""
        local = self._spec.types()
        wanted = essential_name(extern.name) if kind is Kind.FUNC else extern.name
        for btf in self._kernel:
            for type_id in btf.ids(wanted):
                found = btf.type(type_id)
                if found.kind is not kind or not isinstance(found, (t.Var, t.Func)):
                    continue
                if not types_compatible(local, local.skip(local_id).id, btf, btf.skip(found.type).id):
                    raise RelocationError(
                        f"{where}is declared as {local.describe(local.skip(local_id).id)}, "
                        f"which does not fit the {btf.describe(btf.skip(found.type).id)} of {btf.name}"
                    )
                return _Found(type_id=type_id, module=None if btf is self._kernel.vmlinux else btf)
        return None

    def module_fd(self, module: Btf) -> int:
        """The kernel's BTF object of a module; open until the loader is done."""
        fd = self._module_fds.get(module.name)
        if fd is None:
            owned = sys_progs.module_btf_fd(module.name)
            self._stack.callback(owned.close)
            fd = self._module_fds[module.name] = owned.fileno()
        return fd

    def _slot(self, module: Btf) -> int:
        fd = self.module_fd(module)
        if fd not in self.fd_array[1:]:
            if len(self.fd_array) > MAX_MODULES:
                raise RelocationError(f"{self._spec.source}: kernel functions of over {MAX_MODULES} modules")
            self.fd_array.append(fd)
        return self.fd_array.index(fd, 1)


def _address(name: str, where: str) -> _Found | None:
    """What /proc/kallsyms says; searched, never indexed: it has 120,000 lines."""
    with open(KALLSYMS, "rb") as file:
        data = b"\n" + file.read()
    needle = b" " + name.encode("utf-8", "surrogateescape")
    addresses = set()
    at = data.find(needle)
    while at >= 0:
        end = at + len(needle)
        if data[end : end + 1] in (b"\n", b"\t") and data[at - 2 : at - 1] == b" ":
            addresses.add(int(data[data.rfind(b"\n", 0, at) + 1 : at - 2], 16))
        at = data.find(needle, end)
    if len(addresses) > 1:
        raise RelocationError(f"{where}{KALLSYMS} has {len(addresses)} symbols of this name")
    if addresses == {0}:
        raise PrivilegeError(1, KALLSYMS, f"{where}addresses are hidden from this process (kptr_restrict)")
    return _Found(address=addresses.pop()) if addresses else None


def _syscall_wrapper() -> bool:
    """Whether system calls are called __ARCH_sys_*: since 4.17."""
    with open(KALLSYMS, "rb") as file:
        data = file.read()
    return any(b" __%s_sys_bpf\n" % arch in data for arch in (b"x64", b"arm64", b"s390x", b"riscv"))
