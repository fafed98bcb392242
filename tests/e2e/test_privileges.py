"""What runs with which capabilities: the table of docs/deploy.md, and the service as systemd would run it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.support.builds import build_zipapp
from tests.support.gates import require_tool
from tests.support.needs import needs
from tests.support.sources import ROOT
from tests.support.tokens import CHILD, delegating_mount
from tests.support.workloads import Tracer, Workload, of_kind, of_pids, wait_until

pytestmark = [pytest.mark.kernel, needs("uprobe_multi")]

NOBODY = 65534
BASE = "+bpf,+perfmon"
SETS = {
    "BPF PERFMON": BASE,
    "+ SYS_PTRACE": f"{BASE},+sys_ptrace",
    "+ DAC_READ_SEARCH": f"{BASE},+sys_ptrace,+dac_read_search",
    "+ NET_ADMIN": f"{BASE},+sys_ptrace,+dac_read_search,+net_admin",
    "`--user`": "",
}

# What the processes here are called: the tracer looks at no others.
NAME = f"priv{os.getpid()}"

# Calls a function of the catalog in the copy of libcrypto that it is given, and opens a key.
CALL = """
open("/proc/self/comm", "w").write("{name}")
import ctypes
library = ctypes.CDLL(sys.argv[1])
library.EVP_PKEY_Q_keygen.restype = ctypes.c_void_p
{wait}
library.EVP_PKEY_Q_keygen(None, None, sys.argv[2].encode())
os.close(os.open(sys.argv[3], os.O_RDONLY))
"""

# What needs no copy of a library: dlopen() in vain, a digest that is counted, kTLS, a connection's first words.
MORE = """
open("/proc/self/comm", "w").write("{name}")
import ctypes, hashlib, socket, ssl
try:
    ctypes.CDLL("libssl.so.99")
except OSError:
    pass
hashlib.new("sha384", b"x").digest()
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
out = ssl.MemoryBIO()
try:
    context.wrap_bio(ssl.MemoryBIO(), out).do_handshake()
except ssl.SSLWantReadError:
    pass
with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
    client.send(out.read())
    server.accept()[0].recv(100)
    try:
        client.setsockopt(282, 1, bytes(40))  # SOL_TLS, TLS_TX
    except OSError:
        pass
"""


def setpriv(capabilities, uid=NOBODY):
    """The words that run a command as a user with nothing but these capabilities, and no way to get more."""
    words = [require_tool("setpriv"), "--reuid", str(uid), "--regid", str(uid), "--clear-groups", "--no-new-privs"]
    return [*words, *(f"--{kind}=-all,{capabilities}" for kind in ("inh-caps", "ambient-caps", "bounding-set"))]


def system_libcrypto():
    """The one that this host has."""
    lines = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=True).stdout.splitlines()
    return next(line.split(" => ")[1] for line in lines if "libcrypto.so.3 " in line)


@pytest.fixture(scope="module")
def anybody():
    """A directory that anybody can enter; those of pytest are for their owner only, and so may be root's home."""
    with tempfile.TemporaryDirectory(prefix="crypto-tracer-") as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


@pytest.fixture(scope="module")
def program(anybody):
    """The single file and a Python, where anybody can read them."""
    return ["/usr/bin/python3", "-I", str(build_zipapp(anybody / "crypto-tracer.pyz"))]


def table():
    """The table of docs/deploy.md: row -> column -> whether it works."""
    text = (ROOT / "docs" / "deploy.md").read_text().partition("## Privileges")[2]
    lines = "|" + text.partition("\n|")[2].partition("\n\n")[0]
    head, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines.splitlines())
    return {row[0]: dict(zip(head[1:], (cell == "yes" for cell in row[1:]))) for row in rows}


@pytest.fixture
def copies(anybody):
    """Copies of libcrypto: elsewhere, behind a mount, and where only root may go."""
    with tempfile.TemporaryDirectory(dir=anybody) as name:
        top = Path(name)
        top.chmod(0o755)
        found = {"installed": system_libcrypto(), "key": f"{top}/a.key", "inside": f"{top}/inside"}
        (top / "inside").mkdir(mode=0o755)
        for place, mode in (("open", 0o755), ("hidden", 0o755), ("closed", 0o700)):
            (top / place).mkdir(mode=mode)
            found[place] = shutil.copy(system_libcrypto(), f"{top}/{place}/libcrypto.so.3")
        (top / "a.key").touch(mode=0o600)
        yield found


def measure(program, column, copies):
    """What works: the rows of the table, with a yes or no."""
    arguments, prefix = [], []
    if SETS[column]:
        prefix = setpriv(SETS[column])
    else:
        arguments = ["--user", f"{NOBODY}:{NOBODY}"]
    names = {"installed": "ED25519", "open": "X25519", "hidden": "X448", "closed": "ED448"}
    with Tracer("--no-redact", "--deep", "--name", NAME, *arguments, prefix=prefix, program=program) as tracer:
        wait = "print('loaded', flush=True); sys.stdin.readline()"
        works = {}
        for place, algorithm in names.items():
            path, within = copies[place], []
            if place == "hidden":
                within = ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" "$1"; shift; exec "$@"']
                within += [os.path.dirname(path), copies["inside"]]
                path = f"{copies['inside']}/libcrypto.so.3"
            with Workload(CALL.format(name=NAME, wait=""), path, algorithm, copies["key"], prefix=within) as first:
                first.go()  # the copy is found now, at the latest
            with Workload(CALL.format(name=NAME, wait=wait), path, algorithm, copies["key"], prefix=within) as workload:
                exe = os.readlink(f"/proc/{workload.pid}/exe")
                workload.start()

                def loaded(pid=workload.pid):
                    return of_kind(tracer.events(pid), "lib_load")

                wait_until(loaded, "the library is seen")
                workload.go()
            wait_until(lambda pid=workload.pid: of_kind(tracer.events(pid), "process_exit"), "the end is seen")
            events = tracer.events(workload.pid)
            works[place] = algorithm in {event["argument"] for event in of_kind(events, "api_call")}
        opened = of_kind(events, "file_open")
        works["opened"] = any(event["file"] == copies["key"] and event["result"] == 0 for event in opened)
        works["exe"] = {event["exe"] for event in opened} == {exe}
        with Workload(MORE.format(name=NAME)) as more:
            more.go()
        code = tracer.stop(signal.SIGTERM)
        kinds = {event["event_type"]: event for event in tracer.events(more.pid)}
    assert code == 128 + signal.SIGTERM
    assert ", 0 lost" in tracer.stderr[-1]
    return {
        "files, processes and libraries as they come": works["opened"],
        "calls and handshakes, library in a usual place": works["installed"],
        "executables (`exe`) of other users' processes": works["exe"],
        "calls and handshakes, copy of a library elsewhere": works["open"],
        "the same, in another mount namespace: containers": works["hidden"],
        "the same, where only its owner may go": works["closed"],
        "what dlopen() is asked for, in vain too (`lib_open`)": "lib_open" in kinds,
        "cryptography of the kernel: AF_ALG, kTLS (`kernel_crypto`)": "kernel_crypto" in kinds,
        "calls that are counted (`--deep`)": "api_count" in kinds,
        "connections on the wire (`tls`)": kinds.get("tls_handshake", {}).get("source") == "wire",
    }


@pytest.mark.parametrize("column", list(SETS))
def test_capabilities_give_what_the_documentation_says(program, copies, column):
    """Each cell of the table, neither less nor more."""
    found = measure(program, column, copies)
    assert found == {row: cells[column] for row, cells in table().items()}


def test_user_has_nothing_left(program):
    """No id, no group, no capability, no way to get one; and the output goes on."""
    user = ("--user", f"{NOBODY}:{NOBODY}")
    with (
        Workload("os.execv('/bin/true', ['true'])") as workload,
        Tracer("-p", str(workload.pid), *user, program=program) as tracer,
    ):
        status = dict(line.split(":\t", 1) for line in Path(f"/proc/{tracer.pid}/status").read_text().splitlines())
        assert set(status["Uid"].split() + status["Gid"].split()) == {str(NOBODY)}
        assert status["Groups"].split() == []
        for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            assert int(status[name], 16) == 0, name
        assert status["NoNewPrivs"] == "1"
        threads = {path.read_text() for path in Path(f"/proc/{tracer.pid}/task").glob("*/status")}
        assert all("CapEff:\t0000000000000000" in text for text in threads)
        workload.go()
        wait_until(lambda: of_kind(tracer.events(workload.pid), "process_exit"), "events still come")
        tracer.stop()
    assert ", 0 lost" in tracer.stderr[-1]


# Runs what comes with the directory of the bpffs that it is given.
DELEGATED = f"""
import ctypes, os, socket, sys
link = socket.socket(socket.AF_UNIX)
link.connect("\\0" + sys.argv[1])
{CHILD}
os.set_inheritable(mount, True)
os.execv(sys.argv[2], [word.replace("TOKEN", "/proc/self/fd/%d" % mount) for word in sys.argv[2:]])
"""


@needs("token")
def test_token_stands_for_capabilities(program, anybody):
    """In a user namespace, where capabilities say nothing to the kernel: opens and ends are seen with it."""
    key = anybody / "token.key"
    key.touch(mode=0o600)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"\0crypto-tracer-token-{os.getpid()}")
        listener.listen()
        listener.settimeout(30)
        prefix = ["/usr/bin/python3", "-I", "-c", DELEGATED, f"crypto-tracer-token-{os.getpid()}"]
        with Workload("os.close(os.open(sys.argv[1], os.O_RDONLY))", str(key)) as workload:
            tracer = Tracer(
                "--token-fs", "TOKEN", "-p", str(workload.pid), "--no-redact", prefix=prefix, program=program
            )
            with listener.accept()[0] as link:
                delegating_mount(link)
            with tracer:
                workload.go()
                wait_until(lambda: of_kind(tracer.events(workload.pid), "process_exit"), "the end is seen")
                tracer.stop()
                events = tracer.events(workload.pid)
        assert [(e["file"], e["result"]) for e in of_kind(events, "file_open") if e["file"] == str(key)] == [
            (str(key), 0)
        ]
        assert ", 0 lost" in tracer.stderr[-1]
        with subprocess.Popen(
            [*prefix, *program, "doctor", "--token-fs", "TOKEN", "-f", "json-stream"], stdout=subprocess.PIPE
        ) as doctor:
            with listener.accept()[0] as link:
                delegating_mount(link)
            found = json.loads(doctor.communicate(timeout=60)[0])
    assert [check["ok"] for check in found["checks"] if check["name"] == "capabilities"] == [True]
    off = {each["name"]: each["reason"] for each in found["probes"] if not each["on"]}
    assert not off


def test_user_that_cannot_be_had_is_refused_before_anything_is_loaded(program):
    """Not when it has run for a while."""
    done = subprocess.run(
        [*setpriv(BASE), *program, "monitor", "--user", "12345:12345"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 3
    assert "takes CAP_SETUID and CAP_SETGID" in done.stderr


def test_service_as_systemd_runs_it(program, tmp_path):
    """The unit's user, capabilities and environment: ready is told, events are right, nothing is lost or left."""
    unit = (ROOT / "deploy" / "systemd" / "crypto-tracer.service").read_text()
    line = next(line for line in unit.splitlines() if line.startswith("CapabilityBoundingSet="))
    capabilities = ",".join("+" + name.removeprefix("CAP_").lower() for name in line.partition("=")[2].split())
    command = next(line for line in unit.splitlines() if line.startswith("ExecStart=")).split()[2:]
    command = [*command[: command.index("--metrics")], "--metrics", "127.0.0.1:0", "--no-redact"]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(b"\0crypto-tracer-test-%d" % os.getpid())
        systemd.settimeout(30)
        environment = ["env", f"NOTIFY_SOCKET=@crypto-tracer-test-{os.getpid()}", "WATCHDOG_USEC=60000000"]
        key = tmp_path / "server.key"
        key.touch(mode=0o600)
        with (
            Workload("os.close(os.open(sys.argv[1], os.O_RDONLY))", str(key)) as workload,
            Tracer(
                *command, "--no-redact", prefix=[*setpriv(capabilities, 61234), *environment], program=program
            ) as tracer,
        ):
            assert systemd.recv(100) == b"READY=1"
            assert systemd.recv(100) == b"WATCHDOG=1"
            exe = os.readlink(f"/proc/{workload.pid}/exe")
            workload.go()
            wait_until(lambda: of_kind(tracer.events(workload.pid), "process_exit"), "the end is seen")
            held = {entry.name for entry in Path(f"/proc/{tracer.pid}/fd").iterdir()}
            assert held
            assert tracer.stop(signal.SIGTERM) == 128 + signal.SIGTERM
            assert systemd.recv(100) == b"STOPPING=1"
            (opened,) = of_kind(tracer.events(workload.pid), "file_open")
    assert (opened["file_path"], opened["result"], opened["exe"]) == (str(key), 0, exe)
    assert opened["host_pid"] == workload.pid
    assert ", 0 lost" in tracer.stderr[-1]


def test_unit_is_hardened():
    """Systemd's own verdict, as a number: 3.5 at most."""
    analyze = require_tool("systemd-analyze")
    unit = str(ROOT / "deploy" / "systemd" / "crypto-tracer.service")
    done = subprocess.run(
        [analyze, "security", "--offline=true", "--threshold=35", "--no-pager", unit],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-500:]


def test_unit_has_no_mistake(tmp_path):
    """As systemd reads it, with a program where it says."""
    analyze = require_tool("systemd-analyze")
    text = (ROOT / "deploy" / "systemd" / "crypto-tracer.service").read_text()
    unit = tmp_path / "crypto-tracer.service"
    unit.write_text(text.replace("/usr/local/bin/crypto-tracer", "/bin/true").replace("Documentation=", "#"))
    done = subprocess.run([analyze, "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "crypto-tracer.service" not in done.stderr


def test_ids_are_those_of_the_tracers_namespace(tmp_path):
    """In a PID namespace of its own: pids, parents and children as ps shows them there, and nothing from outside."""
    unshare = require_tool("unshare")
    script = f"""
{sys.executable} -m tracer monitor --no-redact -o {tmp_path}/events 2>{tmp_path}/words & tracer=$!
until grep -q 'ready (' {tmp_path}/words; do sleep 0.05; done
sh -c 'echo $$ $PPID; cat {tmp_path}/a.key; exit 3'
kill $tracer; wait $tracer || true
"""
    with Workload("os.close(os.open(sys.argv[1], os.O_RDONLY))", str(tmp_path / "a.key")) as outside:
        (tmp_path / "a.key").touch()
        done = subprocess.run(
            [unshare, "--pid", "--fork", "--mount-proc", "sh", "-c", script],
            capture_output=True, text=True, check=True, cwd=ROOT, timeout=60,
        )  # fmt: skip
        outside.go()
    pid, parent = map(int, done.stdout.split())
    events = [json.loads(line) for line in (tmp_path / "events").read_text().splitlines()]
    own = of_pids(events, [pid])
    assert [event["exit_code"] for event in of_kind(own, "process_exit")] == [3]
    assert {event["ppid"] for event in of_kind(own, "process_exec")} == {parent}
    (cat,) = [event for event in of_kind(events, "file_open") if event["file"] == f"{tmp_path}/a.key"]
    assert cat["pid"] > pid
    assert cat["host_pid"] != cat["pid"]
    assert cat["exe"]
    assert all(event["pid"] < 1000 for event in events)
