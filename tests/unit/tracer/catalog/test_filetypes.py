"""File types by name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer.catalog import filetypes
from tracer.catalog.filetypes import file_type


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        # the C tool's types
        ("/srv/x.crt", "certificate"),
        ("/srv/x.cer", "certificate"),
        ("/srv/x.pem", "certificate"),
        ("/srv/x.key", "private_key"),
        ("/srv/x.p12", "keystore"),
        ("/srv/x.pfx", "keystore"),
        ("/srv/x.jks", "keystore"),
        ("/srv/x.keystore", "keystore"),
        # relative, upper case, several dots, nothing before the dot
        ("x.pem", "certificate"),
        ("./certs/X.PEM", "certificate"),
        ("/srv/a.key.pem", "certificate"),
        ("/srv/.pem", "certificate"),
        # whole names
        ("/home/alice/.ssh/id_ed25519", "ssh_private_key"),
        ("/home/alice/.ssh/id_ed25519.pub", "public_key"),
        ("/opt/jdk/lib/security/cacerts", "keystore"),
        ("/usr/lib/ssl/openssl.cnf", "config"),
        # only in certain directories
        ("/etc/ssl/certs/4042bcee.0", "certificate"),
        ("/etc/ssl/certs/4042bcee.r0", "crl"),
        ("/etc/ssh/ssh_host_ed25519_key", "ssh_private_key"),
        ("/etc/ssh/moduli", "other"),
        ("/etc/pki/nssdb/pkcs11.txt", "config"),
        # none of ours
        ("/srv/4042bcee.0", ""),
        ("/srv/pem", ""),
        ("/srv/x.pem/", ""),
        ("/srv/x.pemx", ""),
        ("/srv/x.key.bak", ""),
        ("/etc/ssl", ""),
        ("etc/ssl/x", ""),
        ("/srv/id_rsa2", ""),
        ("", ""),
        ("/", ""),
        ("/srv/x.\u212aEY", ""),  # KELVIN SIGN: its lower case is k, but not to the kernel
    ],
)
def test_file_type_by_name(path, expected):
    """One case for each rule."""
    assert file_type(path) == expected


@pytest.mark.parametrize("pattern", filetypes.patterns())
def test_pattern_fits_the_kernel_table(pattern):
    """Lower-case ASCII of at most 16 bytes, or the kernel would never find it."""
    assert pattern.isascii()
    assert pattern == pattern.lower()
    assert 1 < len(pattern) <= filetypes.PATTERN_SIZE
    assert "/" not in pattern
    assert "\0" not in pattern


def test_suffixes_are_from_the_last_dot():
    """The kernel looks up from the last dot on: `.tar.gz` would never match."""
    assert all(suffix.rfind(".") == 0 for suffix in filetypes.SUFFIXES)


def test_patterns_and_directories_fit_the_maps():
    """Each table of the kernel holds 256 entries."""
    assert len(set(filetypes.patterns())) == len(filetypes.patterns()) <= 256
    assert len(set(filetypes.DIRECTORIES)) == len(filetypes.DIRECTORIES) <= 256


@pytest.mark.parametrize("directory", filetypes.DIRECTORIES)
def test_directory_fits_the_kernel_table(directory):
    """Absolute, with its final slash, so that /etc/sslfoo is not /etc/ssl/."""
    assert directory.startswith("/")
    assert directory.endswith("/")
    assert len(directory.encode()) <= filetypes.DIRECTORY_SIZE


@given(st.text(max_size=40), st.sampled_from(filetypes.patterns()), st.randoms())
def test_file_type_ignores_case_of_patterns(stem, pattern, random):
    """A to Z in any mixture find the same row."""
    mixed = "".join(random.choice((c, c.upper())) for c in pattern)
    name = f"/srv/{stem.replace('/', '')}{mixed}" if pattern.startswith(".") else f"/srv/{mixed}"
    assert file_type(name) != ""


@given(st.text())
def test_file_type_of_any_text_is_a_known_type(path):
    """Hostile names raise nothing, and give no type of their own."""
    known = {*filetypes.SUFFIXES.values(), *filetypes.NAMES.values(), filetypes.OTHER, "crl", ""}
    assert file_type(path) in known
