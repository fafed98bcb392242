"""Secrets are planted wherever a process can have them, and searched for in everything that comes out.

One process does it all; whatever it does is seen by all commands. What is found is found with any spelling of JSON:
each output is also searched with its escapes undone.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.support.gates import require_tool
from tests.support.runs import PROGRAM, run_any
from tests.support.sources import ROOT
from tests.support.workloads import DEADLINE_S

pytestmark = pytest.mark.kernel

USERS = ["alice-q7", "bob-q8", "carol-q9", "dave-qa"]
SECRETS = [
    "hunter2-argv",
    "tiger3-apart",
    "swordfish4-env",
    "letmein5-url",
    "opensesame6-header",
    "xyzzy7-pass",
    "ghp_plugh8plugh8plugh8plugh8",
    "eyJhbGciOiJub25lIn0.eyJzdWIiOiJxOSJ9.c2lnbmF0dXJl",
    "AKIAQQQQWWWWEEEE1234",
    "quux9-file",
    "corge10-query",
    "customer-grault",
]
FORMATS = ["json-stream", "json-lines", "json-array", "json-pretty", "csv", "summary"]
DOCUMENTS = ["json-stream", "json-array", "json-pretty", "summary"]

# Opens files of names with secrets, then runs a program with arguments that have some; the environment has others.
CODE = """
import os, ssl, sys
def use():
    for path in sys.argv[1].split("|"):
        try:
            os.open(path, os.O_RDONLY)
        except OSError:
            pass
    try:
        ssl.create_default_context().load_cert_chain(sys.argv[1].split("|")[0])
    except OSError:
        pass
if len(sys.argv) > 2:
    print("up", flush=True)
    sys.stdin.readline()
    use()
    sys.stdin.readline()
else:
    use()
"""


def arguments(home):
    """What the program is started with, all of it readable in /proc."""
    return [
        f"--password={SECRETS[0]}", "--token", SECRETS[1], f"https://{USERS[0]}:{SECRETS[3]}@host/x.git",
        "-H", f"Authorization: Bearer {SECRETS[4]}", "-passin", f"pass:{SECRETS[5]}", *SECRETS[6:9],
        f"--config={home}/x", f"~{USERS[1]}/x.pem", f"USER={USERS[2]}", f"https://host/?token={SECRETS[10]}&x=1",
        f"--project={SECRETS[11]}",
    ]  # fmt: skip


def paths(home):
    """Names of files, which are seen when they are opened."""
    return [
        f"{home}/server.pem", f"/root/{SECRETS[11]}/x.key", f"/home/{USERS[1]}/x.pem", f"/var/mail/{USERS[2]}/x.pem",
        f"/run/media/{USERS[3]}/stick/x.pem", f"/tmp/token={SECRETS[9]}/x.pem", f"/tmp/{SECRETS[6]}.pem",
        f"/tmp/{SECRETS[8]}/x.key", f"https://{USERS[0]}:{SECRETS[3]}@host/x.pem",
        f"/home/./{USERS[3]}/../{USERS[0]}/y.pem",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def planted():
    """The program, where it lies, what it is told, and its environment."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home" / USERS[0]
        home.mkdir(parents=True)
        (home / "open.pem").touch()
        config = Path(folder) / "config"
        config.write_text(json.dumps({"redact": {"words": [SECRETS[11]]}}))
        key = Path(folder) / "key"
        key.write_text("0123456789abcdef0123456789abcdef")
        environment = {**os.environ, "DB_PASSWORD": SECRETS[2], "LOGNAME": USERS[0], "HOME": str(home)}
        command = [sys.executable, "-I", "-S", "-c", CODE, "|".join(paths(home))]
        yield {"command": command, "home": home, "config": str(config), "key": str(key), "env": environment}


def leaks(text):
    """The secrets that are in it."""
    # As JSON writes it; a backslash of a recording may stand before anything.
    undone = re.sub(r"\\u([0-9a-f]{4})|\\(.)", lambda found: chr(int(found[1], 16)) if found[1] else found[2], text)
    return [secret for secret in (*USERS, *SECRETS) if secret in text or secret in undone]


def ways(planted):
    """Redaction as it is, and with pseudonyms."""
    return (["--config", planted["config"]], ["--config", planted["config"], "--pseudonyms", planted["key"]])


def check(done, *, shows):
    """Neither stream has a secret, and the output is about what was planted."""
    for text in (done.stdout, done.stderr):
        assert leaks(text) == []
    assert any(word in done.stdout for word in shows), done.stdout[:2000] + done.stderr
    return done.stdout


def test_secrets_are_searched_for_in_earnest(planted):
    """Without redaction nearly all of them are there, so that the tests below can fail."""
    command = [*planted["command"], *arguments(planted["home"])]
    done = run_any("run", "-v", "--no-redact", "--", *command, env=planted["env"])
    found = set(leaks(done.stdout))
    # The environment is never looked at.
    assert found == {*USERS, *SECRETS} - {SECRETS[2]}


@pytest.mark.parametrize("way", [0, 1], ids=["plain", "pseudonyms"])
def test_run_and_its_recording_hold_no_secret(planted, way, tmp_path):
    """Each format of each view."""
    options, recording = ways(planted)[way], str(tmp_path / "x.rec")
    command = [*planted["command"], *arguments(planted["home"])]
    done = run_any("run", "-v", *options, "--record", recording, "--", *command, env=planted["env"])
    assert done.returncode == 0, done.stderr
    text = check(done, shows=["USER"])
    assert ("/home/USER-" in text, "WORD-" in text) == ((True, True) if way else (False, False))
    assert leaks(readable(recording)) == []
    for view, shapes in (("monitor", FORMATS), ("profile", ["json-pretty", "summary"])):
        for shape in shapes:
            # The recording itself has none: nothing is hidden again here.
            again = run_any(view, "-v", "--no-redact", "--replay", recording, "-f", shape)
            assert (again.returncode, leaks(again.stdout), leaks(again.stderr)) == (0, [], [])
            assert again.stdout


def readable(path):
    """What is in a file, packed or not, as characters."""
    raw = Path(path).read_bytes()
    try:
        raw = gzip.decompress(raw)
    except OSError:
        pass
    return "".join(chr(byte) if byte < 128 else "?" for byte in raw)


def test_running_process_gives_no_secret_away(planted):
    """To snapshot, profile, monitor and libs, with all that /proc says of it."""
    opened = f"{planted['home']}/open.pem"
    command = [*planted["command"], "stay", *arguments(planted["home"])]
    with (
        open(opened) as kept,
        subprocess.Popen(
            command, env=planted["env"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[kept.fileno()]
        ) as process,
    ):
        try:
            assert process.stdout.readline() == b"up\n"
            for options in ways(planted):
                only = ("-p", str(process.pid), *options, "-v")
                for shape in DOCUMENTS:
                    check(run_any("snapshot", *only, "-f", shape), shows=["/home/USER", "1 files"])
                check(run_any("profile", *only, "-d", "0.1"), shows=["python"])
            check(run_any("profile", *only, "-d", "0.1", "-f", "summary"), shows=["python"])
            check(run_any("libs", *only, "-d", "0.1"), shows=["libcrypto"])
        finally:
            process.kill()


@pytest.mark.parametrize("shape", ["json-lines", "summary"])
def test_monitor_as_it_happens_holds_no_secret(planted, shape):
    """Live, words on stderr too; the other formats are made of the same events."""
    command = [*planted["command"], "stay", *arguments(planted["home"])]
    with subprocess.Popen(command, env=planted["env"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout.readline() == b"up\n"
            tracer = subprocess.Popen(
                [*PROGRAM, "monitor", "-v", "-p", str(process.pid), "-f", shape, *ways(planted)[0]],
                cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )  # fmt: skip
            said = []
            while not said or "ready (" not in said[-1]:
                said.append(tracer.stderr.readline())
                assert said[-1], said
            process.communicate(b"\n\n", timeout=DEADLINE_S)
            text, words = tracer.communicate(timeout=DEADLINE_S)
            assert tracer.returncode == 0
            assert leaks(text) == leaks("".join(said) + words) == []
            assert "x.pem" in text
        finally:
            process.kill()


def test_messages_about_a_secret_path_do_not_concern_others(planted):
    """Doctor and schema say nothing of processes at all."""
    for command in ("doctor", "schema", "version"):
        done = run_any(command, "-v", env=planted["env"])
        assert leaks(done.stdout + done.stderr) == []


def test_key_material_is_in_no_output(tmp_path):
    """A key is used, and only its name is told."""
    key = tmp_path / "server.key"
    subprocess.run([require_tool("openssl"), "genpkey", "-algorithm", "ed25519", "-out", key], check=True)
    body = key.read_text().splitlines()[1]
    done = run_any("run", "-v", "--no-redact", "--", "sh", "-c", f"openssl pkey -in {key} -noout -text >/dev/null")
    assert str(key) in done.stdout
    assert body not in done.stdout + done.stderr
