"""The table of libraries."""

from __future__ import annotations

import re

import pytest

from tracer.catalog.libraries import PREFIX_SIZE, ROWS, STARTS, find_library, prefixes, soname_version

LIB = "/usr/lib/x86_64-linux-gnu"


@pytest.mark.parametrize(
    ("path", "name", "family"),
    [
        (f"{LIB}/libssl.so.3", "libssl", "OpenSSL"),
        (f"{LIB}/libssl.so", "libssl", "OpenSSL"),
        (f"{LIB}/libssl.so.1.1", "libssl", "OpenSSL"),
        (f"{LIB}/libssl.so.3 (deleted)", "libssl", "OpenSSL"),
        ("/lib/libcrypto.so.3", "libcrypto", "OpenSSL"),
        ("/x/pillow.libs/libcrypto-1a2b3c4d.so.3", "libcrypto", "OpenSSL"),
        (f"{LIB}/libssl3.so", "libssl3", "NSS"),
        (f"{LIB}/libnss3.so", "libnss3", "NSS"),
        (f"{LIB}/libgnutls.so.30.34.3", "libgnutls", "GnuTLS"),
        (f"{LIB}/libbotan-2.so.19", "libbotan", "Botan"),
        (f"{LIB}/libcrypto++.so.8", "libcrypto++", "Crypto++"),
        (f"{LIB}/libcrypt.so.1", "libcrypt", "libxcrypt"),
        (f"{LIB}/libssh.so.4", "libssh", "libssh"),
        (f"{LIB}/libssh2.so.1", "libssh2", "libssh2"),
        (f"{LIB}/libtss2-esys.so.0", "libtss2-esys", "TPM2-TSS"),
        (f"{LIB}/ossl-modules/legacy.so", "legacy", "OpenSSL"),
        (f"{LIB}/engines-3/pkcs11.so", "pkcs11", "OpenSSL"),
        ("/lib-dynload/_ssl.cpython-311-x86_64-linux-gnu.so", "_ssl", "Python"),
        ("/dotnet/libSystem.Security.Cryptography.Native.OpenSsl.so", None, ".NET"),
        ("/site-packages/cryptography/hazmat/bindings/_rust.abi3.so", "_rust", "Python"),
        ("libsodium.so.23", "libsodium", "libsodium"),
        ("/memfd:libssl.so.3 (deleted)", "libssl", "OpenSSL"),
    ],
)
def test_find_library_known_name_gives_its_row(path, name, family):
    """Versions, hashes, deleted files and directories."""
    found = find_library(path)
    assert found is not None
    assert (found.family, found.name) == (family, name or found.name)


@pytest.mark.parametrize(
    "path",
    [
        f"{LIB}/libnss_files.so.2",
        f"{LIB}/libnss_dns.so.2",
        f"{LIB}/libnss_compat.so.2",
        f"{LIB}/libcurl.so.4",
        f"{LIB}/libcurl-gnutls.so.4",
        f"{LIB}/libcurl-nss.so.4",
        f"{LIB}/libc.so.6",
        f"{LIB}/libcap.so.2",
        f"{LIB}/libsslcommon.so",
        f"{LIB}/libxxhash.so.0",
        f"{LIB}/libXdamage.so.1",
        f"{LIB}/libabsl_flags_usage.so.20220623",
        "/opt/game/legacy.so",
        "/opt/tokenizers/_rust.abi3.so",
        "/usr/lib/libssl.solaris",
        "/usr/lib/libssl",
        "/usr/lib/libssl.so.3/other",
        "/usr/lib/libssl.a",
        "",
        " (deleted)",
    ],
)
def test_find_library_name_that_only_looks_alike_is_none(path):
    """The traps."""
    assert find_library(path) is None


def test_find_library_no_name_stands_twice():
    """Two rows for a name would hide one of them."""
    names = [name for _, _, names in ROWS for name in names.split()]
    assert sorted(set(names)) == sorted(names)


def test_prefixes_cover_every_row_and_fit_the_kernel():
    """What the kernel drops can never be one of ours."""
    known = prefixes()
    assert all(0 < len(prefix.encode("ascii")) <= PREFIX_SIZE for prefix in known)
    for name in (name for _, _, names in ROWS for name in names.split()):
        assert (name + ".so").startswith(tuple(known))
    assert {start for start, *_ in STARTS} <= set(known)


@pytest.mark.parametrize(
    ("path", "version"),
    [
        (f"{LIB}/libssl.so.3", "3"),
        (f"{LIB}/libgnutls.so.30.34.3 (deleted)", "30.34.3"),
        (f"{LIB}/libssl.so.1.0.0k", "1.0.0k"),
        (f"{LIB}/libssl.so", ""),
        (f"{LIB}/libssl.so.", ""),
    ],
)
def test_soname_version_is_what_follows_so(path, version):
    """Only digits, letters and dots count, and not many."""
    assert soname_version(path) == version
    assert re.fullmatch(r"[0-9A-Za-z.]{0,31}", soname_version(path))
