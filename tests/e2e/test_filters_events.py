"""Filters on events of every kind: what is shown is what the page says, by an oracle of a few lines.

Two processes shake hands with themselves, open files and load libraries; they have names and users of their own.
"""

from __future__ import annotations

import fnmatch
import json
import subprocess

import pytest

from tests.support.gates import require_tool
from tests.support.runs import run_any, run_tracer
from tests.support.workloads import Tracer, Workload, of_kind
from tracer.model import KIND_BY_NAME

pytestmark = pytest.mark.kernel

CODE = """
name, uid, cert = sys.argv[1:4]
import ssl
with open("/proc/self/comm", "w") as comm:
    comm.write(name)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(cert)
context.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
os.setresuid(int(uid), int(uid), int(uid))
client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
pipes = ssl.MemoryBIO(), ssl.MemoryBIO()
sides = [context.wrap_bio(*pipes, server_side=True), client.wrap_bio(*pipes[::-1])]
done = set()
while len(done) < 2:
    for side in sides:
        try:
            side.do_handshake()
            done.add(side)
        except ssl.SSLWantReadError:
            pass
for path in sys.argv[4:]:
    try:
        os.open(path, os.O_RDONLY)
    except OSError:
        pass
"""


@pytest.fixture(scope="module")
def trace(tmp_path_factory):
    """All events of the two, as JSON and as a recording, and their process ids."""
    folder = tmp_path_factory.mktemp("filters")
    cert = folder / "pair.pem"
    subprocess.run(
        [require_tool("openssl"), "req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-subj", "/CN=x", "-keyout", folder / "key.pem", "-out", folder / "cert.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    cert.write_text((folder / "key.pem").read_text() + (folder / "cert.pem").read_text())
    files = [str(folder / name) for name in ("a.key", "b.pem", "sub/c.key")]
    recording = str(folder / "x.rec")
    with (
        Workload(CODE, "ct-One", "0", str(cert), *files) as one,
        Workload(CODE, "ct-two", "65534", str(cert), *files[1:]) as two,
        Tracer("-p", f"{one.pid},{two.pid}", "--no-redact", "--record", recording) as tracer,
    ):
        one.go()
        two.go()
        assert tracer.wait() == 0
        events = tracer.events()
    assert {"api_call", "tls_handshake", "lib_load", "file_open"} <= {event["event_type"] for event in events}
    return events, recording, (one.pid, two.pid), str(folder)


def base(path):
    return path.rpartition("/")[2]


def is_library(event, wanted):
    """A library's own name, or the file that a function is in."""
    path, short = event.get("library") or "", event.get("library_name") or ""
    if any(c in wanted for c in "*?["):
        if "/" in wanted:
            return fnmatch.fnmatchcase(path, wanted)
        return fnmatch.fnmatchcase(base(path), wanted) or fnmatch.fnmatchcase(short, wanted)
    return "library" in event and (wanted in path or wanted in short)


def is_file(event, wanted):
    return any(
        fnmatch.fnmatchcase(path if "/" in wanted else base(path), wanted)
        for path in (event.get("file"), event.get("file_path"))
        if path
    )


CASES = [
    (["-l", "libssl"], lambda e: is_library(e, "libssl")),
    (["-l", "libssl*"], lambda e: is_library(e, "libssl*")),
    (["-l", "libcrypto.so.?"], lambda e: is_library(e, "libcrypto.so.?")),
    (["-l", "*/lib-dynload/_ssl*"], lambda e: is_library(e, "*/lib-dynload/_ssl*")),
    (["-l", "libssl", "-l", "_ssl"], lambda e: is_library(e, "libssl") or is_library(e, "_ssl")),
    (["-n", "ct-one"], lambda e: e["process"] == "ct-One"),
    (["-n", "CT-"], lambda e: e["process"].startswith("ct-")),
    (["-n", "ct-t*"], lambda e: e["process"] == "ct-two"),
    (["-n", "ct-[!a-n]?*"], lambda e: e["process"] in {"ct-One", "ct-two"}),
    (["--uid", "65534"], lambda e: e["uid"] == 65534),
    (["--uid", "root"], lambda e: e["uid"] == 0),
    (["--uid", "0,65534"], lambda e: True),
    (["--uid", "65534", "-l", "libssl"], lambda e: e["uid"] == 65534 and is_library(e, "libssl")),
    (["-F", "*.key"], lambda e: is_file(e, "*.key")),
    (["-F", "?.pem", "-F", "c.key"], lambda e: is_file(e, "?.pem") or is_file(e, "c.key")),
    (["-F", "*/sub/*"], lambda e: is_file(e, "*/sub/*")),
    (["-F", "*.key", "-n", "two"], lambda e: is_file(e, "*.key") and e["process"] == "ct-two"),
    (["--container", "*"], lambda e: e["container"] is not None),
    (["-F", "*.p12"], lambda e: False),
]


@pytest.mark.parametrize(("options", "wanted"), CASES, ids=lambda value: " ".join(value) if type(value) is list else "")
def test_filter_shows_what_the_oracle_says(trace, options, wanted):
    """Exactly, in the same order."""
    text = run_tracer("monitor", "-q", "--no-redact", "--replay", trace[1], *options)
    limits = {"-F": "file", "-l": "library"}
    kinds = [limits[option] for option in options if option in limits]
    left = [
        event
        for event in trace[0]
        if wanted(event) and all(member in event for member in kinds) and not KIND_BY_NAME[event["event_type"]].hidden
    ]
    assert [json.loads(line) for line in text.splitlines()] == left
    assert left or options[0] in {"--container", "-F"}


def test_filters_of_pid_tell_the_two_apart(trace):
    """By number."""
    for pid in trace[2]:
        text = run_tracer("monitor", "-q", "--no-redact", "--replay", trace[1], "-p", str(pid))
        assert [json.loads(line) for line in text.splitlines()] == [e for e in trace[0] if e["pid"] == pid]


def test_library_filter_leaves_calls_and_handshakes_live(trace):
    """What the kernel sends is filtered as what was recorded is."""
    cert = f"{trace[3]}/pair.pem"
    with (
        Workload(CODE, "ct-three", "0", cert, cert) as workload,
        Tracer("-p", str(workload.pid), "-n", "ct-three", "-l", "libssl*", "--no-redact") as tracer,
    ):
        workload.go()
        assert tracer.wait() == 0
        events = tracer.events()
    assert {event["event_type"] for event in events} == {"api_call", "tls_handshake"}  # it loads before it has the name
    assert all(base(event["library"]).startswith("libssl") for event in events)
    assert len(of_kind(events, "tls_handshake")) == 2


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("monitor", ["-n", "sixteen-bytes-me"]),
        ("monitor", ["-F", "*.pem", "-l", "libssl"]),
        ("files", ["-F", "/srv/*.log"]),
        ("files", ["-l", "libssl"]),
        ("libs", ["-l", "libfoo*"]),
        ("libs", ["-F", "*.pem"]),
        ("monitor", ["--container", "/docker/3f2a"]),
        ("profile", ["-F", "/srv/*.log"]),
    ],
    ids=lambda value: " ".join(value) if type(value) is list else value,
)
def test_filter_that_can_match_nothing_is_said_by_every_command(trace, command, options):
    """On stderr, once; and nothing comes out, as was said."""
    done = run_any(command, "--replay", trace[1], *options)
    assert done.returncode == 0
    assert done.stderr.count("can match nothing") == 1
    if command == "profile":
        assert json.loads(done.stdout)["statistics"]["files_accessed"] == 0
    else:
        assert done.stdout == ""
