"""`crypto-tracer doctor`: on this host, and where it may do less."""

from __future__ import annotations

import subprocess

import pytest

from tests.support.gates import require_tool
from tests.support.runs import document, run_any, run_tracer
from tests.support.schemas import check_document
from tests.support.workloads import Tracer, of_kind, run_for_pid
from tracer.probes import PROBES

pytestmark = pytest.mark.kernel


def examined(*arguments, code=0, **options):
    found = document(run_tracer("doctor", "-f", "json-stream", *arguments, code=code, **options))
    check_document("doctor", found)
    return found


def test_doctor_tries_every_probe_and_exits_with_0():
    """Where tests of the kernel run, all can be on."""
    found = examined()
    assert found["ready"] is True
    assert [row["name"] for row in found["probes"]] == [probe.name for probe in PROBES]
    assert all(row["on"] and row["ways"] and row["reason"] is None for row in found["probes"])
    assert all(row["ok"] for row in found["checks"] if row["needed"])


def test_doctor_without_privilege_says_what_is_missing_and_exits_with_3():
    """It is the one command that has to work then."""
    setpriv = require_tool("setpriv")
    found = examined(code=3, prefix=(setpriv, "--bounding-set=-all", "--inh-caps=-all"))
    assert (found["ready"], found["probes"]) == (False, [])
    (row,) = [row for row in found["checks"] if row["name"] == "capabilities"]
    assert not row["ok"]
    assert "CAP_BPF" in row["found"]
    assert row["remedy"]


def test_doctor_with_capabilities_only_notes_what_is_less():
    """CAP_BPF and CAP_PERFMON are enough, CAP_NET_ADMIN for the wire; what is lost without the others is said."""
    setpriv = require_tool("setpriv")
    few = "-all,+bpf,+perfmon,+net_admin"
    prefix = (setpriv, f"--bounding-set={few}", f"--inh-caps={few}", f"--ambient-caps={few}")
    found = examined(prefix=prefix)
    assert found["ready"] is True
    notes = [row["found"] for row in found["checks"] if row["name"] == "wished_capability"]
    assert any("CAP_SYS_PTRACE" in note for note in notes)


def test_doctor_tells_people_in_words():
    """The same as text."""
    text = run_tracer("doctor")
    assert text.endswith("all probes can run\n")
    assert all(probe.name in text for probe in PROBES)
    assert run_any("doctor", "-f", "csv").returncode == 2


OPEN_BY_RING = """
#include <fcntl.h>
#include <liburing.h>
int main(int argc, char **argv)
{
	struct io_uring ring;
	struct io_uring_cqe *done;

	if (io_uring_queue_init(4, &ring, 0))
		return 77;
	io_uring_prep_openat(io_uring_get_sqe(&ring), AT_FDCWD, argv[1], O_RDONLY, 0);
	io_uring_submit(&ring);
	return io_uring_wait_cqe(&ring, &done) || done->res < 0;
}
"""
# open() and exit() themselves: a C library for 32 bits is not there.
OPEN_BY_32_BITS = """
__asm__(".globl _start\\n_start: movl $5, %eax; movl 8(%esp), %ebx; xorl %ecx, %ecx; int $0x80;"
	" shrl $31, %eax; movl %eax, %ebx; movl $1, %eax; int $0x80");
"""


@pytest.mark.parametrize(
    ("name", "source", "options"),
    [("io_uring", OPEN_BY_RING, ("-luring",)), ("32_bit", OPEN_BY_32_BITS, ("-m32", "-nostdlib"))],
)
def test_doctor_tells_the_blind_spots_that_there_are(tmp_path, name, source, options):
    """Ways to open a file that no event tells of: the doctor does, where they work."""
    program, key = tmp_path / "program", tmp_path / "server.key"
    key.touch()
    command = [require_tool("gcc"), "-x", "c", "-", "-o", str(program), *options]
    subprocess.run(command, input=source, text=True, check=True)
    (row,) = [row for row in examined()["checks"] if row["name"] == name]
    with Tracer("--no-redact") as tracer:
        pid, done = run_for_pid([str(program), str(key)])
        assert tracer.stop() == 130
        events = tracer.events(pid)
    assert [event["exe"] for event in of_kind(events, "process_exec")] == [str(program)]
    assert of_kind(events, "file_open") == []
    assert row["ok"] == (done.returncode != 0)
