"""bpf(2), one function a command. Errors become exceptions here, with the call and its object named.

Kernels before 5.11 charge maps and programs to RLIMIT_MEMLOCK. So when a call that allocates is
refused, the limit is raised once, if that is allowed, and the call is tried again.
"""

from __future__ import annotations

import ctypes
import errno
import resource
import threading

from pybpfload._sys import attrs
from pybpfload._sys.fd import Fd
from pybpfload._sys.syscall import call, numbers
from pybpfload.errors import PrivilegeError, SyscallError
from pybpfload.uapi import Cmd

__all__ = [
    "address_of",
    "btf_load",
    "buffer",
    "error_of",
    "link_create_perf",
    "map_create",
    "map_delete",
    "map_freeze",
    "map_info",
    "map_lookup",
    "map_next_key",
    "map_update",
    "module_btf_fd",
    "prog_load",
    "raw_tracepoint_open",
]

BUSY_TRIES = 5
_memlock = threading.Lock()
_memlock_raised = False


def address_of(buffer: ctypes.Array) -> int:  # type: ignore[type-arg]
    """The address of a ctypes buffer; keep the buffer alive."""
    return ctypes.addressof(buffer)


def error_of(number: int, what: str, detail: str = "") -> SyscallError:
    """The exception for an errno."""
    kind = PrivilegeError if number in (errno.EPERM, errno.EACCES) else SyscallError
    return kind(number, what, detail)


def bpf(command: Cmd, attr: attrs.Attr) -> int:
    """The raw call: a value, or minus the errno."""
    return call(numbers().bpf, int(command), ctypes.byref(attr), ctypes.sizeof(attr))


def _raise_memlock() -> bool:
    """Lift RLIMIT_MEMLOCK, once a process; returns whether it is worth trying again."""
    global _memlock_raised
    with _memlock:
        if _memlock_raised:
            return False
        _memlock_raised = True
        soft, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
        if soft == resource.RLIM_INFINITY:
            return False
        for limit in ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), (hard, hard)):
            try:
                resource.setrlimit(resource.RLIMIT_MEMLOCK, limit)
                return True
            except (OSError, ValueError):
                continue  # without CAP_SYS_RESOURCE only up to the hard limit
        return False


def _allocating(command: Cmd, attr: attrs.Attr) -> int:
    result = bpf(command, attr)
    for _ in range(BUSY_TRIES):
        if result not in (-errno.EAGAIN, -errno.EINTR):
            break
        result = bpf(command, attr)
    if result == -errno.EPERM and _raise_memlock():
        result = bpf(command, attr)
    return result


def _name(text: str) -> bytes:
    """A name as the kernel allows it: 15 characters of letters, digits, ``_`` and ``.``."""
    raw = text.encode("ascii", "replace")[:15]
    return bytes(c if chr(c).isalnum() or c in b"_." else ord("_") for c in raw)


def map_create(attr: attrs.MapCreate, name: str) -> Fd:
    """BPF_MAP_CREATE."""
    attr.map_name = _name(name)
    result = _allocating(Cmd.MAP_CREATE, attr)
    if result < 0:
        raise error_of(-result, f"BPF_MAP_CREATE {name}")
    return Fd(result, f"map {name}")


def buffer(data: bytes) -> ctypes.Array:  # type: ignore[type-arg]
    """A copy that the kernel can read; keep it alive as long as its address is in use."""
    return (ctypes.c_char * max(1, len(data))).from_buffer_copy(data or b"\0")


def map_lookup(fd: int, key: bytes, value_size: int, flags: int = 0) -> bytes | None:
    """BPF_MAP_LOOKUP_ELEM: the value, or None when there is no such key."""
    raw, value = buffer(key), (ctypes.c_char * value_size)()
    attr = attrs.MapElem(map_fd=fd, key=address_of(raw), value=address_of(value), flags=flags)
    result = bpf(Cmd.MAP_LOOKUP_ELEM, attr)
    if result == -errno.ENOENT:
        return None
    if result < 0:
        raise error_of(-result, "BPF_MAP_LOOKUP_ELEM")
    return value.raw


def map_update(fd: int, key: bytes, value: bytes, flags: int = 0) -> None:
    """BPF_MAP_UPDATE_ELEM."""
    raw, new = buffer(key), buffer(value)
    attr = attrs.MapElem(map_fd=fd, key=address_of(raw), value=address_of(new), flags=flags)
    result = bpf(Cmd.MAP_UPDATE_ELEM, attr)
    if result < 0:
        raise error_of(-result, "BPF_MAP_UPDATE_ELEM")


def map_delete(fd: int, key: bytes) -> bool:
    """BPF_MAP_DELETE_ELEM: whether the key was there."""
    raw = buffer(key)
    result = bpf(Cmd.MAP_DELETE_ELEM, attrs.MapElem(map_fd=fd, key=address_of(raw)))
    if result == -errno.ENOENT:
        return False
    if result < 0:
        raise error_of(-result, "BPF_MAP_DELETE_ELEM")
    return True


def map_next_key(fd: int, key: bytes | None, key_size: int) -> bytes | None:
    """BPF_MAP_GET_NEXT_KEY: the key after `key`, the first for None; None at the end."""
    raw, following = buffer(key or b""), (ctypes.c_char * key_size)()
    attr = attrs.MapElem(map_fd=fd, key=address_of(raw) if key is not None else 0, value=address_of(following))
    result = bpf(Cmd.MAP_GET_NEXT_KEY, attr)
    if result == -errno.ENOENT:
        return None
    if result < 0:
        raise error_of(-result, "BPF_MAP_GET_NEXT_KEY")
    return following.raw


def map_freeze(fd: int, name: str) -> None:
    """BPF_MAP_FREEZE: no more writes from user space. Kernel: 5.2."""
    result = bpf(Cmd.MAP_FREEZE, attrs.MapElem(map_fd=fd))
    if result < 0:
        raise error_of(-result, f"BPF_MAP_FREEZE {name}")


def map_info(fd: int) -> attrs.MapInfo:
    """BPF_OBJ_GET_INFO_BY_FD of a map."""
    info = attrs.MapInfo()
    _info(fd, info, "map")
    return info


def btf_load(data: bytes, name: str) -> Fd:
    """BPF_BTF_LOAD. When it fails, a second try collects the kernel's log for the message."""
    blob = buffer(data)
    attr = attrs.BtfLoad(btf=address_of(blob), btf_size=len(data))
    result = _allocating(Cmd.BTF_LOAD, attr)
    if result < 0:
        log = (ctypes.c_char * (1 << 16))()
        attr.btf_log_buf, attr.btf_log_size, attr.btf_log_level = address_of(log), len(log), 1
        again = bpf(Cmd.BTF_LOAD, attr)
        if again < 0:
            lines = log.value.decode("utf-8", "backslashreplace").strip().splitlines()
            raise error_of(-result, f"BPF_BTF_LOAD {name}", "\n  ".join(["", *lines[-3:]]) if lines else "")
        result = again
    return Fd(result, f"BTF {name}")


def _info(fd: int, info: ctypes.Structure, what: str) -> None:
    attr = attrs.ObjInfo(bpf_fd=fd, info_len=ctypes.sizeof(info), info=ctypes.addressof(info))
    result = bpf(Cmd.OBJ_GET_INFO_BY_FD, attr)
    if result < 0:
        raise error_of(-result, f"BPF_OBJ_GET_INFO_BY_FD {what}")


def module_btf_fd(name: str) -> Fd:
    """The BTF of a kernel module, by its name: walks through the numbers of all BTF objects.

    Needs CAP_SYS_ADMIN. Kernel: 5.11, 5329722057d4.
    """
    attr = attrs.Id()
    while True:
        result = bpf(Cmd.BTF_GET_NEXT_ID, attr)
        if result == -errno.ENOENT:
            raise error_of(errno.ENOENT, f"BPF_BTF_GET_NEXT_ID {name}", "this module has no BTF in the kernel")
        if result < 0:
            raise error_of(-result, f"BPF_BTF_GET_NEXT_ID {name}")
        attr.id = attr.next_id
        result = bpf(Cmd.BTF_GET_FD_BY_ID, attrs.Id(id=attr.id))
        if result < 0:
            if result == -errno.ENOENT:
                continue  # unloaded meanwhile
            raise error_of(-result, f"BPF_BTF_GET_FD_BY_ID {name}")
        fd = Fd(result, f"BTF of {name}")
        text = (ctypes.c_char * 64)()
        info = attrs.BtfInfo(name=address_of(text), name_len=len(text))
        try:
            _info(fd.fileno(), info, "BTF")
        except BaseException:
            fd.close()
            raise
        if info.kernel_btf and text.value == name.encode():
            return fd
        fd.close()


def prog_load(attr: attrs.ProgLoad, name: str, *, log_size: int = 0) -> tuple[int, str]:
    """BPF_PROG_LOAD: (file descriptor or minus the errno, the verifier's log)."""
    attr.prog_name = _name(name)
    if not log_size:
        return _allocating(Cmd.PROG_LOAD, attr), ""
    log = (ctypes.c_char * log_size)()
    attr.log_buf, attr.log_size, attr.log_level = address_of(log), log_size, 1
    result = _allocating(Cmd.PROG_LOAD, attr)
    return result, log.value.decode("utf-8", "backslashreplace")


def raw_tracepoint_open(prog_fd: int, name: str | None, cookie: int = 0) -> int:
    """BPF_RAW_TRACEPOINT_OPEN: a link, or minus the errno; `name` is None for programs with BTF targets."""
    text = buffer(name.encode("ascii", "replace") + b"\0") if name is not None else None
    attr = attrs.RawTracepointOpen(prog_fd=prog_fd, name=address_of(text) if text is not None else 0, cookie=cookie)
    attr.keep(text)
    return bpf(Cmd.RAW_TRACEPOINT_OPEN, attr)


def link_create_perf(prog_fd: int, perf_fd: int, cookie: int, attach_type: int) -> int:
    """BPF_LINK_CREATE on a perf event: a link, or minus the errno. Kernel: 5.15, b89fbfbb854c."""
    attr = attrs.LinkCreatePerf(prog_fd=prog_fd, target_fd=perf_fd & 0xFFFFFFFF, attach_type=attach_type)
    attr.bpf_cookie = cookie
    return bpf(Cmd.LINK_CREATE, attr)
