"""What processes ask the kernel to encrypt: AF_ALG and kTLS, against what the calls themselves return."""

from __future__ import annotations

import errno
import os
import socket
import struct
import subprocess

import pytest

import pybpfload
from tests.support.gates import skip_or_fail
from tests.support.sources import ROOT
from tests.support.wire import LOCAL, MACHINE
from tracer.clock import BootClock
from tracer.decode import Decoder
from tracer.probes.kernel_crypto import on_event

pytestmark = pytest.mark.kernel
TCP_ULP, SOL_TLS, TLS_TX, TLS_RX = 31, 282, 1, 2
KEY = b"\x4b\x45\x59\x21" * 8


@pytest.fixture
def asked():
    """The probe, for this process; gives a function that returns what it has seen since."""
    spec = pybpfload.read_object(ROOT / "bpf" / "objects" / MACHINE / "kernel_crypto_trace.bpf.o")
    spec.variables["targ_tgid"] = os.getpid()
    with pybpfload.load(spec) as obj, obj.attach_all():
        decoder = Decoder(spec.records["events"], spec.btf, BootClock())
        with pybpfload.RingReader(obj.maps["events"], decode=decoder) as ring:

            def events():
                found = []
                while batch := ring.poll(0.05):
                    found += batch
                for event in found:
                    assert KEY[:4] not in b"".join(bytes(v) for v in event.fields.values() if isinstance(v, bytes))
                    on_event(None, event)
                return [event.fields for event in found]

            yield events


@pytest.fixture
def pair():
    """Both ends of a connection."""
    with socket.create_server((LOCAL[socket.AF_INET], 0)) as server:
        client = socket.create_connection(server.getsockname())
        other, _ = server.accept()
        with client, other:
            yield client


def result(call, *arguments) -> int:
    """0, or the errno."""
    try:
        call(*arguments)
    except OSError as error:
        return error.errno or 0
    return 0


def seen(fields) -> tuple:
    return tuple(fields[name] for name in ("interface", "algorithm", "type", "version", "result", "pid"))


@pytest.mark.parametrize(
    ("version", "cipher", "names"),
    [
        (0x0303, 51, ("AES-GCM-128", "TLS 1.2")),
        (0x0304, 54, ("CHACHA20-POLY1305", "TLS 1.3")),
        (9, 99, ("99", "0x0009")),
    ],
)
def test_ktls_both_directions_have_cipher_version_and_result(asked, pair, version, cipher, names):
    """Whether the kernel has TLS or not: what was asked for, and what it answered."""
    subprocess.run(["modprobe", "-q", "tls"], check=False)
    result(pair.setsockopt, socket.IPPROTO_TCP, TCP_ULP, b"tls")
    info = struct.pack("=HH", version, cipher) + KEY + bytes(36)
    sizes = {51: 40, 54: 56}
    done = [result(pair.setsockopt, SOL_TLS, way, info[: sizes.get(cipher, 40)]) for way in (TLS_TX, TLS_RX)]
    algorithm, text = names
    assert [seen(fields) for fields in asked()] == [
        (f"kTLS {way}", algorithm, None, text, error, os.getpid()) for way, error in zip(("send", "receive"), done)
    ]


def test_ktls_other_options_and_too_few_bytes_are_no_events(asked, pair):
    """Options of other levels, with the same number; of TLS, with less than version and cipher."""
    pair.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    pair.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    assert result(pair.setsockopt, SOL_TLS, TLS_TX, b"\3\3") != 0
    assert asked() == []


def test_bind_of_other_sockets_is_no_event(asked, tmp_path):
    """A name that looks like that of an algorithm, for a socket of another family."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "socket"))
    with socket.socket() as sock:
        sock.bind((LOCAL[socket.AF_INET], 0))
    assert asked() == []


def test_af_alg_bind_has_type_and_name(asked):
    """One that there is, and one that there is not."""
    try:
        first = socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET)
    except OSError as error:
        if error.errno != errno.EAFNOSUPPORT:
            raise
        # CONFIG_CRYPTO_USER_API is an option; the kernels of the matrix have it.
        pytest.skip("this kernel has no AF_ALG")
    with first, socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET) as second:
        done = [result(first.bind, ("hash", "sha256")), result(second.bind, ("skcipher", "nosuch(thing)"))]
    if done[0] == errno.ENOENT:
        skip_or_fail("this kernel has no hashes for AF_ALG")
    assert done == [0, errno.ENOENT]
    assert [seen(fields) for fields in asked()] == [
        ("AF_ALG", "sha256", "hash", None, 0, os.getpid()),
        ("AF_ALG", "nosuch(thing)", "skcipher", None, errno.ENOENT, os.getpid()),
    ]
