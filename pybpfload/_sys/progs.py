"""bpf(2) for programs and BTF."""

from __future__ import annotations

import ctypes
import errno

from pybpfload._sys import attrs
from pybpfload._sys.bpf import address_of, allocating, bpf, buffer, error_of, get_info, object_name
from pybpfload._sys.fd import Fd
from pybpfload.uapi import Cmd

__all__ = [
    "btf_of",
    "load",
    "load_btf",
    "module_btf_fd",
]


def load_btf(data: bytes, name: str) -> Fd:
    """BPF_BTF_LOAD. When it fails, a second try collects the kernel's log for the message."""
    blob = buffer(data)
    attr = attrs.BtfLoad(btf=address_of(blob), btf_size=len(data))
    result = allocating(Cmd.BTF_LOAD, attr)
    if result < 0:
        log = (ctypes.c_char * (1 << 16))()
        attr.btf_log_buf, attr.btf_log_size, attr.btf_log_level = address_of(log), len(log), 1
        again = bpf(Cmd.BTF_LOAD, attr)
        if again < 0:
            lines = log.value.decode("utf-8", "backslashreplace").strip().splitlines()
            raise error_of(-result, f"BPF_BTF_LOAD {name}", "\n  ".join(["", *lines[-3:]]) if lines else "")
        result = again
    return Fd(result, f"BTF {name}")


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
            get_info(fd.fileno(), info, "BTF")
        except BaseException:
            fd.close()
            raise
        if info.kernel_btf and text.value == name.encode():
            return fd
        fd.close()


def load(attr: attrs.ProgLoad, name: str, *, log_size: int = 0) -> tuple[int, str]:
    """BPF_PROG_LOAD: (file descriptor or minus the errno, the verifier's log)."""
    attr.prog_name = object_name(name)
    if not log_size:
        return allocating(Cmd.PROG_LOAD, attr), ""
    log = (ctypes.c_char * log_size)()
    attr.log_buf, attr.log_size, attr.log_level = address_of(log), log_size, 1
    result = allocating(Cmd.PROG_LOAD, attr)
    return result, log.value.decode("utf-8", "backslashreplace")


def btf_of(prog_fd: int) -> bytes | None:
    """The BTF that a program was loaded with; None without. Needs CAP_SYS_ADMIN. Kernel: 5.0, 838e96904ff3."""
    info = attrs.ProgInfoBtf()
    get_info(prog_fd, info, "program")
    if not info.btf_id:
        return None
    result = bpf(Cmd.BTF_GET_FD_BY_ID, attrs.Id(id=info.btf_id))
    if result < 0:
        raise error_of(-result, f"BPF_BTF_GET_FD_BY_ID {info.btf_id}")
    with Fd(result, "BTF of a program") as fd:
        size = attrs.BtfInfo()
        get_info(fd.fileno(), size, "BTF")
        data = (ctypes.c_char * size.btf_size)()
        get_info(fd.fileno(), attrs.BtfInfo(btf=address_of(data), btf_size=size.btf_size), "BTF")
        return bytes(data)
