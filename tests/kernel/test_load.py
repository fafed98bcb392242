"""Loading programs: the verifier's verdict, names in the kernel, and what is left behind."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys

import pytest

import pybpfload
from pybpfload import kernel_btf
from pybpfload._sys import syscall
from pybpfload.errors import (
    ObjectError,
    PrivilegeError,
    RelocationError,
    SectionError,
    UnsupportedError,
    VerifierError,
)
from tests.support.gates import require_tool
from tests.support.needs import needs
from tests.support.objects import path_of, read

pytestmark = pytest.mark.kernel


def only(spec, *programs):
    """The spec with just these programs."""
    for program in spec.programs.values():
        program.autoload = program.name in programs
    return spec


def test_load_rejected_program_shows_the_end_of_the_log():
    """str() has the verifier's words and the source line, .log has all of it."""
    with pytest.raises(VerifierError) as caught:
        pybpfload.load(only(read("rejected"), "reads_through_null"))
    assert caught.value.errno == errno.EACCES
    assert caught.value.program == "reads_through_null"
    assert re.search("invalid (mem access|dereference)", str(caught.value))
    assert "return *nowhere" in str(caught.value)
    assert "processed " in caught.value.log
    assert "processed " not in str(caught.value)


def test_load_poisoned_program_names_the_missing_field():
    """A field that this kernel lacks is named, not only the strange call it became."""
    with pytest.raises(VerifierError, match=r"needs struct task_struct.no_such_field, which this kernel has not"):
        pybpfload.load(only(read("rejected"), "poisoned"))


def test_load_unknown_section_says_which():
    """Only loading such a program is an error."""
    with pytest.raises(SectionError, match="section `no_such_section/target`"):
        pybpfload.load(only(read("rejected"), "unknown_section"))


def test_load_missing_target_is_unsupported():
    """A tracepoint that the kernel lacks is named by its section."""
    spec = only(read("tracepoint"), "on_btf_enter")
    program = spec.programs["on_btf_enter"]
    program.section, program.target = "tp_btf/no_such_tracepoint", "no_such_tracepoint"
    with pytest.raises(UnsupportedError, match="tp_btf/no_such_tracepoint"):
        pybpfload.load(spec)


CALLBACKS = needs("helper:raw_tracepoint:loop")


@pytest.mark.parametrize("name", ["calls_leaf", pytest.param("calls_all", marks=CALLBACKS)])
def test_load_subprograms_and_callbacks_pass_the_verifier(name):
    """Calls, function addresses and func_info are as the kernel wants them."""
    with pybpfload.load(only(read("subprogs"), name)) as obj:
        assert set(obj.programs) == {name}


@CALLBACKS
def test_load_code_is_what_libbpf_makes_of_it(tmp_path):
    """Bpftool (libbpf) loads the same object: the kernel's own view of both is the same, to the instruction."""
    tool = require_tool("bpftool")
    names = ("calls_all", "calls_leaf")
    # bpftool only loads what it can pin: a private mount of bpffs goes with the process.
    script = f"mount -t bpf bpf {tmp_path}; {tool} prog loadall {path_of('subprogs')} {tmp_path}/p; " + "; ".join(
        f"{tool} prog dump xlated pinned {tmp_path}/p/{name}" for name in names
    )
    theirs = subprocess.run(["unshare", "-m", "sh", "-ec", script], capture_output=True, text=True, check=True)
    ours = ""
    with pybpfload.load(read("subprogs")) as obj:
        for name in names:
            dump = [tool, "prog", "dump", "xlated", "id", str(program_id(obj.programs[name]))]
            ours += subprocess.run(dump, capture_output=True, text=True, check=True).stdout
    assert code_lines(theirs.stdout) == code_lines(ours)
    assert len(code_lines(ours)) > 20


def program_id(program) -> int:
    """The kernel's number of a program, from its descriptor."""
    with open(f"/proc/self/fdinfo/{program.fileno()}") as file:
        return int(next(line for line in file if line.startswith("prog_id")).split()[1])


def code_lines(dump: str) -> list[str]:
    """Instructions of `prog dump xlated` without map ids and function addresses."""
    lines = [line.strip() for line in dump.splitlines() if re.match(r"\s*\d+: \(", line)]
    return [re.sub(r"map\[id:\d+\]|bpf_prog_[0-9a-f]+_\w+|#-?\d+", "X", line) for line in lines]


def test_load_without_privilege_is_a_privilege_error():
    """As nobody: the call is named, the errno is kept, and it is a PermissionError too."""
    setpriv = require_tool("setpriv")
    code = (
        "import sys, pybpfload\n"
        "from pybpfload.errors import PrivilegeError\n"
        "spec = pybpfload.read_object(sys.stdin.buffer.read())\n"
        "try:\n    pybpfload.load(spec)\n"
        "except PrivilegeError as error:\n    print(isinstance(error, PermissionError), error.errno, error)\n"
    )
    # Python and the package may lie where nobody can go: everything is imported before the privileges go.
    drop = "import os; import pybpfload.loader; os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
    assert setpriv
    done = subprocess.run(
        [sys.executable, "-c", drop + code], input=path_of("tracepoint").read_bytes(), capture_output=True, check=True
    )
    assert done.stdout.startswith(b"True 1 BPF_MAP_CREATE"), done


def test_load_failure_at_any_system_call_leaves_nothing(monkeypatch):
    """Each call in turn is made to fail; the autouse gate looks for what stayed behind."""
    real = syscall.door
    calls = 0

    def counting(*args):
        nonlocal calls
        calls += 1
        return real(*args)

    monkeypatch.setattr(syscall, "door", counting)
    pybpfload.load(read("tracepoint")).close()
    assert calls >= 6
    for failing in range(calls):
        at = 0

        def fails_once(*args, failing=failing):
            nonlocal at
            at += 1
            return -errno.ENOMEM if at == failing + 1 else real(*args)

        monkeypatch.setattr(syscall, "door", fails_once)
        try:
            pybpfload.load(read("tracepoint")).close()
        except (OSError, ObjectError):
            pass


def test_load_of_the_other_byte_order_is_refused():
    """A big-endian object is read, and then refused in words."""
    spec = read("tracepoint")
    spec.big_endian = not spec.big_endian
    with pytest.raises(ObjectError, match="endian, this host is not"):
        pybpfload.load(spec)


def test_variables_written_before_load_are_seen_by_the_program():
    """A knob in .rodata reaches the kernel, and reads back from there."""
    spec = read("tracepoint")
    spec.variables["targ_tgid"] = os.getpid()
    with pybpfload.load(spec) as obj:
        assert obj.variables["targ_tgid"] == os.getpid()


def test_privilege_error_is_what_memlock_cannot_mend():
    """EPERM stays EPERM when raising the limit does not help."""
    assert issubclass(PrivilegeError, PermissionError)
    assert kernel_btf() is kernel_btf()


def test_load_takes_what_can_be_of_an_object_with_faults():
    """A program that calls nothing known fails alone, and so does a map of a type that nobody knows."""
    spec = read("odd")
    spec.maps["outer"].max_entries = 2
    with pytest.raises(UnsupportedError, match="777"):
        pybpfload.load(spec)
    spec.maps["later"].autocreate = False
    with pytest.raises(RelocationError, match=r"`calls_nowhere` calls `nowhere`, which is not defined"):
        pybpfload.load(spec)
    spec.programs["calls_nowhere"].autoload = False
    with pytest.raises(ObjectError, match=r"values\[2\] is beyond its 2 entries"):
        pybpfload.load(spec)
    spec.maps["outer"].max_entries = 4
    with pybpfload.load(spec) as obj:
        assert set(obj.programs) == {"on_enter", "same_again"}
        assert sorted(obj.maps["outer"]) == [0, 2]
