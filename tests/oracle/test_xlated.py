"""The whole way into this kernel: what it keeps of a program is the same whether bpftool (libbpf) or we load it.

Where the kernel refuses one of an object's programs (some kernels have no fentry), both have to give up.
"""

from __future__ import annotations

import re
import subprocess

import pytest

import pybpfload
from pybpfload.errors import BpfError
from tests.support.debian import package_objects
from tests.support.gates import require_tool

pytestmark = pytest.mark.kernel

# Loads all programs of each object and dumps them. A private mount of bpffs goes with the process, and with it all
# that was loaded.
SCRIPT = """
mount -t bpf bpf "$1"
for object in "$2"/*.bpf.o; do
    name=$(basename "$object" .bpf.o)
    "$0" prog loadall "$object" "$1/$name" >/dev/null 2>&1 || continue
    for program in "$1/$name"/*; do
        echo "program $name ${program##*/}"
        "$0" prog dump xlated pinned "$program"
    done
done
"""
# The tools of bcc, each with an object.
TOOLS = (
    "bashreadline", "bindsnoop", "biolatency", "biopattern", "biosnoop", "biostacks", "biotop", "bitesize", "cachestat",
    "capable", "cpudist", "cpufreq", "drsnoop", "execsnoop", "exitsnoop", "filelife", "filetop", "fsdist", "fsslower",
    "funclatency", "gethostlatency", "hardirqs", "javagc", "klockstat", "ksnoop", "llcstat", "mdflush", "mountsnoop",
    "numamove", "offcputime", "oomkill", "opensnoop", "readahead", "runqlat", "runqlen", "runqslower", "sigsnoop",
    "slabratetop", "softirqs", "solisten", "statsnoop", "syscount", "tcpconnect", "tcpconnlat", "tcplife", "tcprtt",
    "tcpstates", "tcpsynbl", "tcptop", "tcptracer", "vfsstat", "wakeuptime",
)  # fmt: skip


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    """By object and program, the code that the kernel has when bpftool loads it; no object that is refused."""
    folder = package_objects("bookworm", "libbpf-tools")[0].parent
    mount = tmp_path_factory.mktemp("bpffs")
    command = ["unshare", "-m", "sh", "-ec", SCRIPT, require_tool("bpftool"), str(mount), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, dict[str, list[str]]] = {}
    for part in done.stdout.split("program ")[1:]:
        head, _, dump = part.partition("\n")
        name, program = head.split()
        found.setdefault(name, {})[program] = code_lines(dump)
    return found


def code_lines(dump: str) -> list[str]:
    """The instructions of `bpftool prog dump xlated`, without ids of maps and addresses of functions."""
    lines = [line.strip() for line in dump.splitlines() if re.match(r"\s*\d+: \(", line)]
    return [re.sub(r"map\[id:\d+\]|bpf_prog_[0-9a-f]+_\w+|#-?\d+", "X", line) for line in lines]


def program_id(program: pybpfload.Program) -> int:
    """The kernel's number of a program."""
    with open(f"/proc/self/fdinfo/{program.fileno()}") as file:
        return int(next(line for line in file if line.startswith("prog_id")).split()[1])


@pytest.mark.parametrize("name", TOOLS)
def test_loaded_code_is_what_bpftool_loads(theirs, name):
    """Instruction by instruction, after the kernel has rewritten what it wants."""
    (path,) = [p for p in package_objects("bookworm", "libbpf-tools") if p.name == f"{name}.bpf.o"]
    spec = pybpfload.read_object(path)
    if name not in theirs:
        with pytest.raises(BpfError):
            pybpfload.load(spec).close()
        return
    ours = {}
    with pybpfload.load(spec) as loaded:
        for program in loaded.programs.values():
            dump = [require_tool("bpftool"), "prog", "dump", "xlated", "id", str(program_id(program))]
            ours[program.name] = code_lines(subprocess.run(dump, capture_output=True, text=True, check=True).stdout)
    assert ours == theirs[name]
    assert all(ours.values())
