"""Rows of the catalog of functions, each on a program that calls it: what the program says that it calls comes out."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.gates import require_tool
from tests.support.workloads import DEADLINE_S, Tracer, of_kind
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
        r"SSL_(CTX_)?use_(RSA)?PrivateKey_file|SSL_use_certificate(_chain)?_file"
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
    handshakes = {event["pid"]: event for event in of_kind(events, "tls_handshake") if event["pid"] in pids}
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
