"""``python -m pybpfload load``: a verdict for each program, pins, and events as JSON for any object."""

from __future__ import annotations

import argparse
import errno
import io
import json
import os
import signal
import subprocess
import sys
import threading

import pytest

from pybpfload._sys import syscall
from pybpfload.uapi import Cmd
from tests.support.objects import path_of
from tests.support.sources import ROOT
from tests.support.workloads import Workload, wait_until

pytestmark = pytest.mark.kernel
COMMAND = pytest.importorskip("pybpfload.cli.load").COMMAND

BPFFS = "/sys/fs/bpf"
TRACER = str(ROOT / "bpf" / "objects" / "x86_64" / "process_exec_trace.bpf.o")


def run(*arguments: str) -> tuple[int, str]:
    """Exit code and output of the command."""
    parser = argparse.ArgumentParser()
    COMMAND.configure(parser)
    parser.add_argument("--json", action="store_true")
    out = io.StringIO()
    return COMMAND.run(parser.parse_args(arguments), out), out.getvalue()


def document(*arguments: str) -> tuple[int, dict]:
    """Exit code and the document."""
    code, text = run(*arguments, "--json")
    return code, json.loads(text)


def by_name(found: dict) -> dict:
    return {program["name"]: program for program in found["programs"]}


def test_load_says_how_each_program_fared():
    """A program that fails does not keep the others from being loaded."""
    code, found = document(str(path_of("poison")))
    programs = by_name(found)
    assert code == 1
    assert {name: one["verdict"] for name, one in programs.items()} == {"calls_it": "failed", "uses_map": "loaded"}
    failed = programs["calls_it"]
    assert failed["errno"] == "EINVAL"
    assert (failed["insn"], failed["instructions"], failed["verified_instructions"]) == (1, 3, None)
    assert failed["source"].endswith("return bpf_no_such_function(3);")
    assert "processed" in failed["log"]
    assert "a function which this kernel has not" in failed["error"]
    assert programs["uses_map"]["instructions"] == 17
    assert programs["uses_map"]["error"] is None


def test_load_of_good_programs_exits_with_0():
    """And counts what the verifier saw, where the kernel tells."""
    code, found = document(str(path_of("tail")))
    assert code == 0
    programs = by_name(found)
    assert {one["verdict"] for one in programs.values()} == {"loaded"}
    assert programs["first"]["instructions"] == 2
    assert programs["first"]["verified_instructions"] in (2, None)


def test_load_text_shows_reasons_below_each_program():
    """What a person reads: the row, then why."""
    code, text = run(str(path_of("rejected")))
    assert code == 1
    lines = text.splitlines()
    assert lines[0].endswith(": 0 of 3 programs loaded")
    row = next(i for i, line in enumerate(lines) if line.startswith("  reads_through_null"))
    assert "EACCES" in lines[row]
    assert any("at insn 1, rejected.bpf.c:11: return *nowhere;" in line for line in lines[row:])
    assert any("no program type has this name" in line for line in lines)


def test_load_program_that_is_named_is_the_only_one():
    """The others are not tried."""
    code, found = document(str(path_of("poison")), "--program", "uses_map")
    assert (code, list(by_name(found))) == (0, ["uses_map"])


def test_load_map_that_fails_is_named_and_others_stay(monkeypatch):
    """Only programs that use the map fail with it."""
    real = syscall.door

    def door(number, *arguments):
        if number == syscall.numbers().bpf and arguments[0] == Cmd.MAP_CREATE:
            if arguments[1]._obj.map_name == b"optional":
                return -errno.E2BIG
        return real(number, *arguments)

    monkeypatch.setattr(syscall, "door", door)
    code, found = document(str(path_of("poison")), "--program", "uses_map")
    assert code == 1
    assert {one["name"]: one["errno"] for one in found["maps"]} == {"optional": "E2BIG", ".rodata": None}
    assert "uses map `optional`, which was not created" in by_name(found)["uses_map"]["error"]
    code, found = document(str(path_of("poison")), "--program", "calls_it")
    assert "bpf_no_such_function" in by_name(found)["calls_it"]["error"]


def test_load_against_other_types_poisons_what_these_lack():
    """With --btf of some object's own types, the kernel's structs are not found."""
    _, before = document(TRACER)
    _, after = document(TRACER, "--btf", str(path_of("runs")))
    lost = [name for name, one in by_name(before).items() if one["verdict"] == "loaded"]
    lost = [name for name in lost if by_name(after)[name]["verdict"] == "failed"]
    assert lost
    assert any("which this kernel has not" in by_name(after)[name]["error"] for name in lost)


def test_load_pins_programs_and_maps():
    """Below the folder, with names that a bpffs takes; nothing else changes."""
    with open("/proc/mounts") as mounts:
        if not any(line.split()[1:3] == [BPFFS, "bpf"] for line in mounts):
            subprocess.run(["mount", "-t", "bpf", "bpf", BPFFS], check=True)
    folder = f"{BPFFS}/pybpfload-cli-{os.getpid()}"
    code, _ = run(str(path_of("runs")), "--program", "rewrite", "--pin", folder)
    try:
        assert code == 0
        assert os.listdir(folder) == ["rewrite", "maps"] or sorted(os.listdir(folder)) == ["maps", "rewrite"]
        assert os.listdir(f"{folder}/maps") == ["_bss"]
    finally:
        os.unlink(f"{folder}/rewrite")
        os.unlink(f"{folder}/maps/_bss")
        os.rmdir(f"{folder}/maps")
        os.rmdir(folder)


def test_load_pin_that_fails_leaves_nothing(tmp_path):
    """A folder that is on no bpffs."""
    with pytest.raises(PermissionError, match="expected bpf"):
        run(str(path_of("runs")), "--program", "length", "--pin", str(tmp_path / "pins"))
    assert not (tmp_path / "pins").exists()


# Events -------------------------------------------------------------------------------------------

CALLS = 17
CALL = f"import ctypes; libc = ctypes.CDLL(None)\nfor _ in range({CALLS}): libc.syscall(121, 0)"


def events_while_calling(process: subprocess.Popen, workload: Workload) -> list[dict]:
    """The lines of JSON that belong to the workload; it runs once the programs are attached."""
    lines: list[dict] = []
    reader = threading.Thread(target=lambda: lines.extend(map(json.loads, process.stdout)))
    reader.start()
    workload.go()
    pid = workload.pid.to_bytes(4, "little").hex()
    wait_until(lambda: sum(belongs(line, workload.pid, pid) for line in lines) >= CALLS * 5, "events")
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0
    reader.join(20)
    return [line for line in lines if belongs(line, workload.pid, pid)]


def belongs(line: dict, pid: int, raw: str) -> bool:
    """Whether an event tells of a process."""
    data = line.get("data") or {}
    inner = data.get("call") or data.get("answer") or data
    return inner.get("head", {}).get("pid") == pid or line.get("hex") == raw


def start(*arguments: str) -> subprocess.Popen:
    """The command, in a process of its own, once it has said that the program is attached."""
    code = (
        "import argparse, sys; from pybpfload.cli.load import COMMAND; p = argparse.ArgumentParser(); "
        "COMMAND.configure(p); p.add_argument('--json', action='store_true'); "
        "sys.exit(COMMAND.run(p.parse_args(), sys.stdout))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stderr is not None
    if "--json" in arguments:
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        assert first["rings"] == {"anchored": "union event", "typed": "struct answer", "untyped": None}
        assert by_name(first)["on_enter"]["attached"]
        assert "cannot be attached by its name" in by_name(first)["passes"]["attach_error"]
    else:
        wait_until(lambda: "attached to" in process.stderr.readline(), "attached")
    return process


@pytest.mark.parametrize("options", [["--attach"], ["--attach", "--json"]])
def test_attach_streams_events_by_their_types_until_ctrl_c(options):
    """Each ring by its own type: as the anchor says, as the values' type says, else hex; every event is there."""
    with Workload(CALL) as workload, start(str(path_of("stream")), *options) as process:
        events = events_while_calling(process, workload)
        process.stderr.close()
    calls = [e["data"]["call"] for e in events if e["map"] == "anchored" and "call" in e["data"]]
    answers = [e["data"]["answer"] for e in events if e["map"] == "anchored" and "answer" in e["data"]]
    assert len(calls) == len(answers) == CALLS
    head = {"kind": "KIND_CALL", "pid": workload.pid}
    assert calls[0] == {"head": head, "argument": -7, "comm": calls[0]["comm"]}
    assert calls[0]["comm"].startswith("python")
    answer = {"head": {"kind": "KIND_ANSWER", "pid": workload.pid}, "bytes": [1, 2, 3, 4], "flag": 5}
    assert answers == [answer] * CALLS
    typed = [e for e in events if e["map"] == "typed"]
    assert [e for e in typed if e["type"]] == [{"map": "typed", "type": "struct answer", "data": answer}] * CALLS
    raw = {"type": None, "size": 4, "hex": workload.pid.to_bytes(4, "little").hex()}
    assert [e for e in typed if not e["type"]] == [{"map": "typed", **raw}] * CALLS
    assert [e for e in events if e["map"] == "untyped"] == [{"map": "untyped", **raw}] * CALLS


def test_attach_ends_after_its_duration():
    """Without a signal; what nobody attached makes the exit code 1."""
    code, text = run(str(path_of("stream")), "--attach", "--json", "--duration", "0.1", "--program", "on_enter")
    assert code == 0
    assert json.loads(text.splitlines()[0])["programs"][0]["attached"]
    code, _ = run(str(path_of("stream")), "--attach", "--json", "--duration", "0.1", "--program", "passes")
    assert code == 1
