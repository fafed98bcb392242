"""What our loader asks of a kernel for one object, in the form of `loads`, with any kernel's types."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import pybpfload
from pybpfload import externs, features, kconfig, targets
from pybpfload._sys import syscall
from pybpfload.btf import Btf
from pybpfload.errors import BpfError
from pybpfload.sections import Flag
from pybpfload.uapi import AttachType, Cmd, ProgType
from tests.support.fake_kernel import FakeKernel, Made
from tests.support.kernels import Target
from tests.support.loads import (
    CALL,
    FUNC,
    INSN,
    LD_IMM64,
    MAP_FIELDS,
    PSEUDO_BTF_ID,
    PSEUDO_KFUNC,
    PSEUDO_MAP_FD,
    PSEUDO_MAP_VALUE,
    Load,
    Loads,
    line_texts,
    listing,
    unique,
)

# Programs whose target a kernel lacks are shown with one that every kernel has, as the driver does it.
STAND_INS = {
    AttachType.TRACE_RAW_TP: "sched_switch",
    AttachType.TRACE_ITER: "task",
    AttachType.LSM_MAC: "file_open",
    AttachType.LSM_CGROUP: "file_open",
}
FD = struct.Struct("=i")


@contextmanager
def pretending(target: Target) -> Iterator[Callable[[], FakeKernel]]:
    """Inside, the running kernel is the target, and takes everything; call what is given for a new kernel."""

    def renew() -> FakeKernel:
        syscall.door = kernel = FakeKernel({name: path.read_bytes() for name, path in target.modules.items()})
        return kernel

    patches = (
        mock.patch.object(syscall, "door"),
        mock.patch.dict(features.FEATURES, {k: f._replace(probe=lambda: True) for k, f in features.FEATURES.items()}),
        mock.patch.object(targets, "_kernel", target.btf),
        mock.patch.object(targets, "SYSFS", str(target.folder)),
        mock.patch.object(externs, "KALLSYMS", str(target.kallsyms)),
        mock.patch.object(kconfig, "read_config", return_value=kconfig.parse_config(target.kconfig.read_text())),
        mock.patch.object(kconfig, "kernel_version", return_value=target.version),
    )
    with ExitStack() as stack:
        for patch in patches:
            stack.enter_context(patch)
        features.has.cache_clear()
        stack.callback(features.has.cache_clear)
        yield renew


def loads_of(path: Path, target: Target) -> Loads:
    """Load all programs together, and when that fails each on its own: as the driver does with libbpf."""
    loads = Loads()
    with pretending(target) as renew:
        try:
            names = list(pybpfload.read_object(path).programs)
        except BpfError as error:
            loads.errors[""] = str(error)
            return loads
        together = _Attempt(path, renew())
        together.run(names, loads, loads.programs)
        if not together.error:
            return loads
        loads.errors[""] = together.error
        loads.programs.clear()
        for name in names:
            alone = _Attempt(path, renew())
            alone.run([name], loads, loads.programs)
            if alone.error:
                loads.errors[name] = alone.error
                _Attempt(path, renew(), stand_in=True).run([name], loads, loads.stand_ins)
    return loads


class _Attempt:
    """Loads some programs of an object once; notes what the kernel was asked, also when it fails."""

    def __init__(self, path: Path, kernel: FakeKernel, *, stand_in: bool = False) -> None:
        self.error = ""
        self._spec = pybpfload.read_object(path)
        self._kernel = kernel
        self._stand_in = stand_in
        self._map_names: dict[int, str] = {}
        self._program_names: dict[int, str] = {}

    def run(self, names: list[str], loads: Loads, programs: dict[str, Load]) -> None:
        """Load, and enter what was asked; the programs go to `programs`."""
        for program in self._spec.programs.values():
            program.autoload = program.name in names
            if program.type is ProgType.UNSPEC:
                program.type = ProgType.SOCKET_FILTER  # as the driver
            if self._stand_in and program.flags & Flag.ATTACH_BTF:
                program.target = STAND_INS.get(program.attach_type, "vfs_read")
                program.section = program.section.partition("/")[0] + "/" + program.target
        try:
            pybpfload.load(self._spec).close()
        except (BpfError, OSError) as error:
            self.error = f"{type(error).__name__}: {error}"
        maps = self._maps()
        loads.maps = loads.maps or maps
        for made in self._kernel.made:
            if made.command is Cmd.BTF_LOAD and loads.btf is None:
                loads.btf = Btf(made.data["btf"], name="ours")
        for made, name in zip(self._kernel.all(Cmd.PROG_LOAD), names):
            told = made.attr["prog_name"].decode()
            assert told == name[:15], f"program {told!r} is loaded in place of {name!r}"
            self._program_names[id(made)] = name
            programs[name] = _program(made, self._map_names, loads.btf)
        for target, key, value, refers in self._kernel.updates:
            names_of = {**self._map_names, **self._program_names}
            loads.updates.add((self._map_names[id(target)], key, value if refers is None else names_of[id(refers)]))

    def _maps(self) -> dict[str, dict[str, Any]]:
        patterns = {id(made.inner) for made in self._kernel.made if made.inner}
        created = [made for made in self._kernel.all(Cmd.MAP_CREATE) if id(made) not in patterns]
        maps: dict[str, dict[str, Any]] = {}
        for made, definition in zip(created, self._spec.maps.values()):
            told = made.attr["map_name"].decode()
            self._map_names[id(made)] = told if definition.content is not None else definition.name
            maps[unique(maps, told)] = _map_of(made)
        return maps


def _map_of(made: Made) -> dict[str, Any]:
    found: dict[str, Any] = {name: made.attr[ours] for name, ours in MAP_FIELDS.items()}
    if made.inner:
        found["inner"] = _map_of(made.inner)
    return found


def _program(made: Made, map_names: dict[int, str], btf: Btf | None) -> Load:
    attr, code = made.attr, made.data["insns"]
    maps: dict[int, str] = {}
    btfs: dict[int, str] = {}
    fd_array = [n for (n,) in FD.iter_unpack(made.data["fd_array"])]
    slots = list(INSN.iter_unpack(code))
    for slot, (op, regs, off, imm) in enumerate(slots):
        src = regs >> 4
        if op == LD_IMM64 and src in (PSEUDO_MAP_FD, PSEUDO_MAP_VALUE):
            maps[slot] = map_names.get(id(made.fds.get(imm)), "?")
        elif op == LD_IMM64 and src == PSEUDO_BTF_ID and slots[slot + 1][3]:
            btfs[slot] = made.fds[slots[slot + 1][3]].module
        elif op == CALL and src == PSEUDO_KFUNC and off:
            btfs[slot] = made.fds[fd_array[off]].module
    module = made.fds[attr["attach_prog_fd"]].module if attr["attach_prog_fd"] else ""
    return Load(
        attr["prog_type"],
        attr["expected_attach_type"],
        (attr["attach_btf_id"], module),
        attr["prog_flags"],
        attr["kern_version"],
        made.data["license"].decode(),
        listing(code, maps, btfs),
        list(FUNC.iter_unpack(made.data["func_info"])),
        line_texts(made.data["line_info"], btf),
    )
