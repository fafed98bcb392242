"""BPF tokens: a process without any privilege loads programs, because somebody delegated that to it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

import pybpfload
from pybpfload.errors import SyscallError
from tests.support.needs import needs
from tests.support.objects import path_of, read
from tests.support.sources import ROOT
from tests.support.tokens import CHILD, delegating_mount

pytestmark = [pytest.mark.kernel, needs("token")]

# Loads with the bpffs that it is given.
LOADING = f"""
import ctypes, os, socket, sys
import pybpfload, pybpfload.loader, pybpfload.links
link = socket.socket(fileno=int(sys.argv[1]))
spec = pybpfload.read_object(sys.argv[2])
for program in spec.programs.values():
    program.autoload = program.name in ("length", "rewrite")
{CHILD}
try:
    pybpfload.load(spec).close()
    print("loaded without a token")
except PermissionError as error:
    print("refused:", error.hint)
where = "/proc/self/fd/%d" % mount
if sys.argv[3] == "argument":
    obj = pybpfload.load(spec, token=where)
else:
    os.environ["LIBBPF_BPF_TOKEN_PATH"] = where
    pybpfload.load(spec).close()
    obj = pybpfload.load(spec)
with obj:
    print("loaded:", *obj.programs, *(type(m.id).__name__ for m in obj.maps.values()))
"""


@pytest.mark.parametrize("way", ["argument", "environment"])
def test_token_lets_nobody_load(way):
    """The same load is refused without it, with a hint; maps, BTF and programs are made with it."""
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-c", LOADING, str(theirs.fileno()), path_of("runs"), way],
                pass_fds=[theirs.fileno()],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                cwd=ROOT,
                env={**os.environ, "LIBBPF_BPF_TOKEN_PATH": ""},
            )
        try:
            delegating_mount(ours)
        finally:
            out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    lines = out.splitlines()
    assert lines[0].startswith("refused: ")
    assert "only within a user namespace" in lines[0]
    assert lines[1] == "loaded: length rewrite int"


def test_token_of_no_bpffs_is_an_error(tmp_path):
    """A path that was named has to work."""
    with pytest.raises(SyscallError, match=r"BPF_TOKEN_CREATE .*: Invalid argument"):
        pybpfload.load(read("runs"), token=str(tmp_path))
    with pytest.raises(FileNotFoundError):
        pybpfload.load(read("runs"), token=str(tmp_path / "nothing"))


def test_token_of_environment_that_is_no_bpffs_is_an_error(tmp_path, monkeypatch):
    """What the environment says has to work too; an empty argument overrules it."""
    monkeypatch.setenv("LIBBPF_BPF_TOKEN_PATH", str(tmp_path))
    with pytest.raises(SyscallError, match="BPF_TOKEN_CREATE"):
        pybpfload.load(read("tail"))
    pybpfload.load(read("tail"), token="").close()
