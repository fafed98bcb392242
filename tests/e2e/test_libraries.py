"""Rows of the catalog of functions, each on a program that calls it: what the program says that it calls comes out."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.gates import require_tool
from tests.support.workloads import DEADLINE_S, Tracer, library_handshakes, of_kind
from tracer.catalog.functions import FUNCTIONS, GCRYPT, GNUTLS, MBEDTLS, NSS, OPENSSL, SODIUM, WOLFSSL

pytestmark = pytest.mark.kernel

SOURCES = Path(__file__).parent / "libraries"
NSS_OPTIONS = "-I/usr/include/nss -I/usr/include/nspr -lssl3 -lnss3 -lnspr4"
OPTIONS = {
    "openssl": "-lssl -lcrypto",
    "gnutls": "-lgnutls",
    "mbedtls": "-lmbedtls -lmbedx509 -lmbedcrypto",
    "wolfssl": "-lwolfssl",
    "nss": NSS_OPTIONS,
    "gcrypt": "-lgcrypt",
    "sodium": "-lsodium",
}
TLS = ("openssl", "gnutls", "mbedtls", "wolfssl")

# Rows that the programs here do not call: of other versions, or doing the same as another row.
NOT_CALLED = {
    OPENSSL: (
        r"FIPS_mode_set|SSL_CTX_load_verify_(file|dir|store)|SSL_set_(cipher_list|ciphersuites)|SSL_do_handshake|"
        r"SSL_use_(RSA)?PrivateKey_file|SSL_CTX_use_RSAPrivateKey_file|SSL_use_certificate(_chain)?_file"
    ),
    GNUTLS: (r"gnutls_priority_init2|gnutls_certificate_set_(x509_key_file2|x509_simple_pkcs12_file|rawpk_key_file)"),
    WOLFSSL: (
        r"wolfSSL_(CTX_)?set_ciphersuites|wolfSSL_set_cipher_list|wolfSSL_do_handshake|wolfSSL_SSL_do_handshake|"
        r"wolfSSL_use_.*|wolfSSL_CTX_use_RSAPrivateKey_file"
    ),
    NSS: "SSL_ForceHandshakeWithTimeout",
}


class Said(NamedTuple):
    """What a program says that it did: its calls, and how its handshakes ended, each with the pid."""

    calls: list[tuple[int, str, str]]
    handshakes: list[tuple[int, str, bool, str | None, str | None]]
    port: int


def read_said(text: str) -> Said:
    said = Said([], [], next(iter(map(int, re.findall(r"^\d+ port (\d+)", text, re.MULTILINE))), 0))
    for line in text.splitlines():
        pid, what, *rest = line.split(" ")
        if what == "call":
            said.calls.append((int(pid), rest[0], " ".join(rest[1:])))
        elif what == "handshake":
            role, success, certificate, ciphers = rest
            shown = (None if each == "-" else each for each in (certificate, ciphers))
            said.handshakes.append((int(pid), role, success == "1", *shown))
    return said


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    """The programs, each compiled when it is asked for."""
    folder = tmp_path_factory.mktemp("programs")

    def program(name: str) -> str:
        path = folder / name
        if not path.exists():
            command = [require_tool("gcc"), "-o", str(path), str(SOURCES / f"{name}.c"), *OPTIONS[name].split()]
            subprocess.run(command, check=True, timeout=DEADLINE_S)
        return str(path)

    return program


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A certificate and its key."""
    folder = tmp_path_factory.mktemp("pair")
    cert, key = str(folder / "cert.pem"), str(folder / "key.pem")
    subprocess.run(
        [require_tool("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost",
         "-keyout", key, "-out", cert],
        check=True, capture_output=True, timeout=DEADLINE_S,
    )  # fmt: skip
    return cert, key


def watch(*commands, **options):
    """Runs commands under one tracer: what they printed, and all events."""
    with Tracer("--no-redact") as tracer:
        texts = [
            subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=DEADLINE_S, check=True, **options).stdout
            for command in commands
        ]
        assert tracer.stop() == 130
        assert tracer.stderr[-1].endswith(", 0 lost")
        return texts, tracer.events()


def calls_of(events, program: str):
    """Calls that the program made, not a library for itself."""
    return [
        (event["pid"], event["function_name"], event["argument"] or "")
        for event in of_kind(events, "api_call")
        if event["process"] == os.path.basename(program) and not event["internal"]
    ]


def reported(family: str) -> set[str]:
    """The rows that a program of the family has to show."""
    left_out = re.compile(NOT_CALLED.get(family, ""))
    return {row.symbol for row in FUNCTIONS if row.family == family and row.reported and not row.static_only
            and not left_out.fullmatch(row.symbol)}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "family"), [("openssl", OPENSSL), ("gnutls", GNUTLS), ("mbedtls", MBEDTLS), ("wolfssl", WOLFSSL)]
)
def test_tls_library_rows_are_what_the_program_says(programs, pair, tmp_path, name, family):
    """Both ends, once with a certificate that is taken, once with one that is not: calls, arguments, handshakes."""
    program = programs(name)
    texts, events = watch(*([program, *pair, good, str(tmp_path)] for good in "10"))
    said = [read_said(text) for text in texts]
    pids = {pid for each in said for pid, *_ in each.calls}
    calls = calls_of([event for event in events if event["pid"] in pids], program)
    # Each process in its own order.
    assert sorted(calls, key=lambda call: call[0]) == sorted(
        (call for each in said for call in each.calls), key=lambda call: call[0]
    )
    assert {function for _, function, _ in calls} == reported(family)
    handshakes = {event["pid"]: event for event in library_handshakes(events) if event["pid"] in pids}
    expected = {each[0]: each[1:] for one in said for each in one.handshakes}
    assert len(expected) == 4
    names = ("role", "success", "certificate", "cipher_list")
    assert {pid: tuple(event[column] for column in names) for pid, event in handshakes.items()} == expected
    assert [success for _, success, *_ in expected.values()].count(False) >= 1
    for one in said:
        for pid, role, *_ in one.handshakes:
            port = handshakes[pid]["peer_port" if role == "client" else "local_port"]
            assert (handshakes[pid]["peer_address"], port) == ("127.0.0.1", one.port)
    if family == OPENSSL:
        assert {event["ciphersuites"] for event in handshakes.values()} == {"TLS_AES_128_GCM_SHA256"}


@pytest.mark.parametrize(("name", "family"), [("gcrypt", GCRYPT), ("sodium", SODIUM)])
def test_library_rows_are_what_the_program_says(programs, name, family):
    """Names of algorithms by their numbers, and calls without an argument."""
    program = programs(name)
    (text,), events = watch([program])
    said = [call for call in read_said(text).calls if not call[1].startswith("gcry_md_")]
    assert calls_of(events, program) == said
    assert {function for _, function, _ in said} == reported(family)


@pytest.fixture
def server(pair):
    """`openssl s_server` on a port of its own."""
    command = [require_tool("openssl"), "s_server", "-accept", "127.0.0.1:0", "-cert", pair[0], "-key", pair[1], "-www"]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            yield next(int(port[1]) for line in process.stdout if (port := re.search(r"ACCEPT .*:(\d+)", line)))
        finally:
            process.kill()


def test_nss_rows_are_what_the_program_says(programs, server, tmp_path):
    """A database by all its ways, and a handshake with a certificate that is taken, and one that is not."""
    program = programs("nss")
    subprocess.run(
        [require_tool("certutil"), "-N", "-d", f"sql:{tmp_path}", "--empty-password"], check=True, timeout=DEADLINE_S
    )
    texts, events = watch(*([program, f"sql:{tmp_path}", str(server), good] for good in "10"))
    said = [read_said(text) for text in texts]
    pids = {pid for each in said for pid, *_ in each.calls}
    calls = calls_of([event for event in events if event["pid"] in pids], program)
    assert calls == [call for each in said for call in each.calls]
    assert {function for _, function, _ in calls} == reported(NSS)
    handshakes = [event for event in library_handshakes(events) if event["pid"] in pids]
    names = ("pid", "role", "success", "certificate", "cipher_list")
    assert [tuple(event[name] for name in names) for event in handshakes] == [
        each for one in said for each in one.handshakes
    ]
    assert {(event["peer_address"], event["peer_port"]) for event in handshakes} == {("127.0.0.1", server)}


def test_gpg_encrypts_with_what_it_says(tmp_path):
    """Libgcrypt in a real program: `gpg --list-packets` tells the cipher by the number that OpenPGP has for it."""
    gpg = require_tool("gpg")
    home, secret, locked = tmp_path / "home", tmp_path / "secret", tmp_path / "locked"
    home.mkdir(mode=0o700)
    secret.write_text("secret")
    base = [gpg, "--homedir", str(home), "--batch", "--pinentry-mode", "loopback", "--passphrase", "x"]
    encrypt = [*base, "--symmetric", "--cipher-algo", "CAMELLIA256", "--output", str(locked), str(secret)]
    try:
        _, events = watch(encrypt)
    finally:
        # the agent that gpg started for this directory
        subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False, timeout=DEADLINE_S)
    packets = subprocess.run([*base, "--list-packets", str(locked)], capture_output=True, text=True, check=False).stdout
    assert re.search(r"symkey enc packet: version 4, cipher 13,", packets)
    used = [(event["function_name"], event["argument"]) for event in of_kind(events, "api_call")
            if event["exe"] == os.path.realpath(gpg) and not event["internal"]]  # fmt: skip
    assert ("gcry_cipher_open", "CAMELLIA256") in used
    assert ("gcry_kdf_derive", "ITERSALTED_S2K") in used


def test_pkcs11_mechanisms_are_those_that_the_tool_was_told(tmp_path):
    """A token in software, by a program that loads it as a plug-in."""
    tool, softhsm = require_tool("pkcs11-tool"), require_tool("softhsm2-util")
    module = next(path for path in ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/softhsm/libsofthsm2.so",
                                    "/usr/lib64/pkcs11/libsofthsm2.so") if os.path.exists(path))  # fmt: skip
    (tmp_path / "tokens").mkdir()
    config = tmp_path / "softhsm.conf"
    config.write_text(f"directories.tokendir = {tmp_path}/tokens\nobjectstore.backend = file\n")
    options = {"env": {**os.environ, "SOFTHSM2_CONF": str(config)}}
    init = [softhsm, "--init-token", "--free", "--label", "t", "--pin", "1234", "--so-pin", "1234"]
    subprocess.run(init, check=True, capture_output=True, timeout=DEADLINE_S, **options)
    data = tmp_path / "data"
    data.write_bytes(bytes(32))
    base = [tool, "--module", module, "--login", "--pin", "1234", "--token-label", "t"]
    vector = "0" * 32
    asked = {
        "--keypairgen --key-type EC:prime256v1 --id 01": ("C_GenerateKeyPair", "EC_KEY_PAIR_GEN"),
        f"--sign --mechanism ECDSA --id 01 -i {data} -o {tmp_path}/signed": ("C_SignInit", "ECDSA"),
        f"--verify --mechanism ECDSA --id 01 -i {data} --signature-file {tmp_path}/signed": ("C_VerifyInit", "ECDSA"),
        f"--hash --mechanism SHA256 -i {data} -o /dev/null": ("C_DigestInit", "SHA256"),
        "--keygen --key-type AES:32 --id 02": ("C_GenerateKey", "AES_KEY_GEN"),
        f"--encrypt --mechanism AES-CBC-PAD --iv {vector} --id 02 -i {data} -o {tmp_path}/locked": (
            "C_EncryptInit", "AES_CBC_PAD"),
        f"--decrypt --mechanism AES-CBC-PAD --iv {vector} --id 02 -i {tmp_path}/locked -o /dev/null": (
            "C_DecryptInit", "AES_CBC_PAD"),
    }  # fmt: skip
    # What is done in the first milliseconds with a library that nobody has mapped before is not seen: somebody has.
    hold = "import ctypes, sys; ctypes.CDLL(sys.argv[1]); print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", hold, module], stdin=subprocess.PIPE, stdout=subprocess.PIPE, **options
    ) as holder:
        assert holder.stdout.readline() == b"\n"
        _, events = watch(*([*base, *words.split()] for words in asked), stderr=subprocess.DEVNULL, **options)
        holder.stdin.close()
    mechanisms = [(event["function_name"], event["argument"]) for event in of_kind(events, "api_call")
                  if event["process"] == "pkcs11-tool" and event["function_name"].startswith("C_")]  # fmt: skip
    assert mechanisms == list(asked.values())
