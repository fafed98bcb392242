"""What a certificate says, beside what OpenSSL says of it."""

from __future__ import annotations

import subprocess

import pytest

from tracer.wire.certificate import read_certificate
from tracer.wire.reader import WireError

KEYS = (
    (("rsa:1024",), "RSA 1024", "sha256WithRSAEncryption"),
    (("rsa:3072", "-sha384"), "RSA 3072", "sha384WithRSAEncryption"),
    (("rsa:2048", "-sha1"), "RSA 2048", "sha1WithRSAEncryption"),
    (("rsa:2048", "-sigopt", "rsa_padding_mode:pss"), "RSA 2048", "rsassaPss"),
    (("ec", "-pkeyopt", "ec_paramgen_curve:P-384"), "EC secp384r1", "ecdsa-with-SHA256"),
    (("ec", "-pkeyopt", "ec_paramgen_curve:secp224r1", "-sha512"), "EC secp224r1", "ecdsa-with-SHA512"),
    (("ec", "-pkeyopt", "ec_paramgen_curve:brainpoolP256r1"), "EC brainpoolP256r1", "ecdsa-with-SHA256"),
    (("ed448",), "Ed448", "ED448"),
)
SUBJECTS = (
    '/C=DE/ST=x/L=y/O=A, \u00dcber + \u201eB\u201c \\/ <C>;\\"/OU=#1/CN= x ',
    "/DC=example/DC=org/UID=me/emailAddress=a@b.example+CN=two",
    "/CN=a\x1b[2Jb",
)


def openssl(*arguments, data=b""):
    done = subprocess.run(["openssl", *arguments], input=data, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def make(key, subject="/CN=x", *options):
    return openssl("req", "-x509", "-newkey", *key, "-nodes", "-keyout", "/dev/null", "-outform", "DER", "-utf8",
                   "-subj", subject, "-days", "9", *options)  # fmt: skip


def said(data, *what):
    options = ("-nameopt", "RFC2253,-esc_msb,utf8,-esc_ctrl", "-dateopt", "iso_8601")
    return (
        openssl("x509", "-inform", "DER", "-noout", *what, *options, data=data).decode().rstrip("\n").partition("=")[2]
    )


@pytest.mark.parametrize(("key", "shown", "signature"), KEYS, ids=[row[1] + " " + row[2] for row in KEYS])
def test_key_and_signature(key, shown, signature):
    """Kind and size."""
    found = read_certificate(make(key))
    assert (found.key, found.signature) == (shown, signature)


@pytest.mark.parametrize("subject", SUBJECTS, ids=["special", "kinds", "control"])
def test_names_and_times_are_those_of_openssl(subject):
    """Parts, order, escapes."""
    data = make(("ed25519",), subject)
    found = read_certificate(data)
    assert found.subject == said(data, "-subject")
    assert found.issuer == said(data, "-issuer")
    assert found.not_before == said(data, "-startdate").replace(" ", "T")
    assert found.not_after == said(data, "-enddate").replace(" ", "T")


def test_year_that_takes_four_digits():
    """Behind 2049, times have another form."""
    data = make(("ed25519",), "/CN=x", "-days", "20000")
    assert read_certificate(data).not_after == said(data, "-enddate").replace(" ", "T")
    assert read_certificate(data).not_after > "2080"


def test_every_beginning_is_an_error():
    """Lengths beyond the end."""
    data = make(("ed25519",))
    for size in range(len(data) - 75):  # what stands behind the key is not read
        with pytest.raises(WireError):
            read_certificate(data[:size])


@pytest.mark.parametrize("data", [b"", b"\x30\x80\0\0", b"\x30\x85\1\1\1\1\1", b"\x31\0", b"\x30\x03\x30\x01\x02"])
def test_what_is_no_certificate(data):
    """No length, one that is too long, another tag."""
    with pytest.raises(WireError):
        read_certificate(data)
