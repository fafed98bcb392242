# SPDX-License-Identifier: MIT
"""Which libraries are cryptography, by name.

A library is known by the name of its file up to `.so`: `libssl.so.3` is `libssl`. What packagers add is left out:
the hash of Python's wheels (`libssl-1a2b3c4d.so.3`) and a version (`libbotan-3.so.5`). The name is compared as a
whole, so what only looks alike is none of ours:

- `libnss_files` is the name service switch, not Mozilla's NSS; `libssl3`, though, is NSS and not OpenSSL;
- `libcrypt` hashes passwords and is not `libcrypto`; `libcrypto++` is neither;
- `libssh` and `libssh2` are two; `libcurl-gnutls` and `libpq` are clients: what they load shows itself.

Names that others use as well (`fips.so`, `crypto.so`) count only in certain directories.

The kernel gets `prefixes()`, and drops every mapping of a file whose name begins with none of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

# What a library is for.
TLS = "tls"  # TLS, or TLS with the algorithms in one file
PRIMITIVES = "primitives"  # algorithms
PROVIDER = "provider"  # a part that a library of the two kinds above loads
POST_QUANTUM = "post_quantum"
TOKEN = "token"  # smart cards, HSMs, TPMs
PROTOCOL = "protocol"  # SSH, OpenPGP, Kerberos, signed documents ...
RUNTIME = "runtime"  # the cryptography of a language: its binding, or its own
PLATFORM = "platform"  # a way to the kernel's or the machine's cryptography

# The longest prefix that the kernel's table holds.
PREFIX_SIZE = 32


class Library(NamedTuple):
    """A cryptographic library.

    Attributes:
        name: short: ``libssl``.
        family: the project that it is part of.
        role: what it is for, one of the constants above.
    """

    name: str
    family: str
    role: str


# Family, role, names.
ROWS = (
    # libssl and libcrypto of LibreSSL, BoringSSL and others have the same names
    ("OpenSSL", TLS, "libssl"),
    ("OpenSSL", PRIMITIVES, "libcrypto"),
    ("NSS", TLS, "libssl3"),
    ("NSS", PRIMITIVES, "libnss3 libnssutil3 libsmime3 libsoftokn3 libfreebl3 libfreeblpriv3 libnssckbi libnssdbm3"),
    ("GnuTLS", TLS, "libgnutls libgnutlsxx libgnutls-openssl libgnutls-dane"),
    ("Mbed TLS", TLS, "libmbedtls libpolarssl"),
    ("Mbed TLS", PRIMITIVES, "libmbedcrypto libmbedx509 libtfpsacrypto"),
    ("wolfSSL", TLS, "libwolfssl libcyassl"),
    ("LibreSSL", TLS, "libtls"),
    ("BoringSSL", TLS, "libboringssl libquiche"),
    ("AWS-LC", TLS, "libaws-lc libssl-awslc"),
    ("AWS-LC", PRIMITIVES, "libcrypto-awslc"),
    ("s2n", TLS, "libs2n"),
    ("BearSSL", TLS, "libbearssl"),
    ("MatrixSSL", TLS, "libmatrixssl"),
    ("axTLS", TLS, "libaxtls"),
    ("Tongsuo", TLS, "libtongsuo"),
    ("GmSSL", TLS, "libgmssl"),
    ("openHiTLS", TLS, "libhitls libhitls_tls libhitls_crypto"),
    ("rustls", TLS, "librustls librustls_ffi"),
    ("Botan", TLS, "libbotan"),
    ("MsQuic", TLS, "libmsquic"),
    ("Libgcrypt", PRIMITIVES, "libgcrypt"),
    ("Nettle", PRIMITIVES, "libnettle libhogweed"),
    ("libsodium", PRIMITIVES, "libsodium"),
    ("Crypto++", PRIMITIVES, "libcryptopp libcrypto++"),
    ("LibTomCrypt", PRIMITIVES, "libtomcrypt"),
    ("Monocypher", PRIMITIVES, "libmonocypher"),
    ("libhydrogen", PRIMITIVES, "libhydrogen"),
    ("secp256k1", PRIMITIVES, "libsecp256k1"),
    ("blst", PRIMITIVES, "libblst"),
    ("Intel ISA-L", PRIMITIVES, "libisal_crypto"),
    ("Intel IPsec MB", PRIMITIVES, "libIPSec_MB"),
    ("Intel IPP", PRIMITIVES, "libippcp libcrypto_mb"),
    ("SymCrypt", PRIMITIVES, "libsymcrypt"),
    ("libxcrypt", PRIMITIVES, "libcrypt"),
    ("Argon2", PRIMITIVES, "libargon2"),
    ("scrypt", PRIMITIVES, "libscrypt"),
    ("bcrypt", PRIMITIVES, "libbcrypt"),
    ("BLAKE2", PRIMITIVES, "libb2"),
    ("BLAKE3", PRIMITIVES, "libblake3"),
    ("Ed25519", PRIMITIVES, "libed25519"),
    ("Decaf", PRIMITIVES, "libdecaf"),
    ("liboqs", POST_QUANTUM, "liboqs"),
    ("leancrypto", POST_QUANTUM, "libleancrypto"),
    ("PQClean", POST_QUANTUM, "libpqcrypto libkyber libmlkem libdilithium libmldsa libsphincs libntru"),
    ("OpenSSL", PROVIDER, "oqsprovider symcryptprovider tpm2tss libafalg libgost gost-engine libpkcs11"),
    ("p11-kit", TOKEN, "libp11-kit p11-kit-proxy p11-kit-trust"),
    ("OpenSC", TOKEN, "opensc-pkcs11 onepin-opensc-pkcs11 libopensc"),
    ("libp11", TOKEN, "libp11"),
    ("SoftHSM", TOKEN, "libsofthsm2"),
    ("PKCS#11", TOKEN, "libckteec libCryptoki2 libCryptoki2_64 libcs_pkcs11_R2 libcs_pkcs11_R3 libcknfast"),
    ("PKCS#11", TOKEN, "libykcs11 libcloudhsm_pkcs11 libtpm2_pkcs11 libeToken libeTPkcs11"),
    ("TPM2-TSS", TOKEN, "libtspi"),
    ("FIDO", TOKEN, "libfido2 libu2f-host libu2f-server"),
    ("PC/SC", TOKEN, "libpcsclite libccid"),
    ("Linux", PLATFORM, "libkcapi libcryptsetup libica libqat libqat_s libkeyutils"),
    ("GnuPG", PROTOCOL, "libgpgme libgpgmepp libassuan libksba"),
    ("OpenPGP", PROTOCOL, "librnp"),
    ("libssh", PROTOCOL, "libssh libssh-gcrypt"),
    ("libssh2", PROTOCOL, "libssh2"),
    ("MIT Kerberos", PROTOCOL, "libkrb5 libk5crypto libgssapi_krb5"),
    ("Heimdal", PROTOCOL, "libhcrypto libheimdal-hcrypto"),
    ("SASL", PROTOCOL, "libgsasl"),
    ("XMLSec", PROTOCOL, "libxmlsec1 libxmlsec1-openssl libxmlsec1-gnutls libxmlsec1-nss libxmlsec1-gcrypt"),
    ("SRTP", PROTOCOL, "libsrtp2"),
    ("Messaging", PROTOCOL, "libolm libotr libsignal-protocol-c libsignal_jni libomemo-c"),
    ("DKIM", PROTOCOL, "libopendkim"),
    ("JOSE", PROTOCOL, "libjwt libjose libcjose"),
    ("OATH", PROTOCOL, "liboath"),
    ("QUIC", PROTOCOL, "libngtcp2_crypto_gnutls libngtcp2_crypto_quictls libngtcp2_crypto_ossl"),
    ("Python", RUNTIME, "_ssl _hashlib"),
    (".NET", RUNTIME, "System.Security.Cryptography.Native.OpenSsl libSystem.Security.Cryptography.Native.OpenSsl"),
    ("Java", RUNTIME, "libjvm libsunec libj2pkcs11 libj2pcsc libtcnative-1"),
    ("Perl", RUNTIME, "SSLeay"),
)

# Groups of names, and names that tell only together with the directory: how the name begins, what the path before
# it must contain, family, role.
STARTS = (
    ("libtss2-", "", "TPM2-TSS", TOKEN),
    ("libsequoia", "", "Sequoia", PROTOCOL),
    ("libdropbear", "", "Dropbear", PROTOCOL),
    ("libnetty_tcnative", "", "BoringSSL", RUNTIME),
    ("libconscrypt", "", "BoringSSL", RUNTIME),
    ("fips.", "/ossl-modules/", "OpenSSL", PROVIDER),
    ("legacy.", "/ossl-modules/", "OpenSSL", PROVIDER),
    ("default.", "/ossl-modules/", "OpenSSL", PROVIDER),
    ("pkcs11.", "/ossl-modules/", "OpenSSL", PROVIDER),
    ("tpm2.", "/ossl-modules/", "OpenSSL", PROVIDER),
    ("pkcs11.", "/engines-", "OpenSSL", PROVIDER),
    ("capi.", "/engines-", "OpenSSL", PROVIDER),
    ("padlock.", "/engines-", "OpenSSL", PROVIDER),
    ("afalg.", "/engines-", "OpenSSL", PROVIDER),
    ("loader_attic.", "/engines-", "OpenSSL", PROVIDER),
    ("_rust.", "/cryptography/", "Python", RUNTIME),
    ("_openssl.", "/cryptography/", "Python", RUNTIME),
    ("_sodium.", "/nacl/", "libsodium", RUNTIME),
    ("_bcrypt.", "/bcrypt/", "bcrypt", RUNTIME),
    ("_m2crypto", "", "OpenSSL", RUNTIME),
    ("_raw_", "/Crypto", "PyCryptodome", RUNTIME),
    ("openssl.", "/ruby/", "Ruby", RUNTIME),
    ("openssl.", "/php", "PHP", RUNTIME),
    ("sodium.", "/php", "libsodium", RUNTIME),
    ("crypto.", "/crypto-", "Erlang", RUNTIME),
)

_BY_FIRST = {row[0][0]: [other for other in STARTS if other[0][0] == row[0][0]] for row in STARTS}
_BY_NAME = {name: Library(name, family, role) for family, role, names in ROWS for name in names.split()}

_SHARED = re.compile(r"(.+?)\.so(?:$|[.-])", re.DOTALL)
_WHEEL_HASH = re.compile(r"-[0-9a-f]{8}$")
_NUMBER = re.compile(r"-[0-9]+(?:\.[0-9]+)*$")
_VERSION = re.compile(r"\.so\.([0-9][0-9A-Za-z.]{0,30})$")
DELETED = " (deleted)"
MEMFD = "memfd:"  # a file in memory that has a name only: see memfd_create(2)


@lru_cache(maxsize=1024)
def find_library(path: str) -> Library | None:
    """The cryptographic library that a file of this name is, or None.

    Args:
        path: of the mapped file; the kernel's ``" (deleted)"`` at its end does not matter.
    """
    folder, _, base = path.removesuffix(DELETED).rpartition("/")
    base = base.removeprefix(MEMFD)
    shared = _SHARED.match(base)
    if not shared:
        return None
    stem = _WHEEL_HASH.sub("", shared.group(1))
    # _ssl.cpython-311-x86_64-linux-gnu, too, has its name before the first dot; System.Security... has not.
    for name in (stem, _NUMBER.sub("", stem), stem.partition(".")[0]):
        found = _BY_NAME.get(name)
        if found:
            return found
    for start, part, family, role in _BY_FIRST.get(base[:1], ()):
        if base.startswith(start) and part in folder + "/":
            return Library(stem.partition(".")[0], family, role)
    return None


def add(rows: Mapping[str, str]) -> None:
    """More rows, for names that a configuration file has: name of the file up to ``.so``, and its project."""
    _BY_NAME.update((name, Library(name, family, PRIMITIVES)) for name, family in rows.items())
    find_library.cache_clear()


def soname_version(path: str) -> str:
    """What the name says of the version: ``3`` for ``libssl.so.3``; "" if it says nothing."""
    found = _VERSION.search(path.removesuffix(DELETED))
    return found.group(1) if found else ""


def prefixes() -> list[str]:
    """How the names of all files that `find_library` knows begin; other names begin like that, too."""
    return [(way + name)[:PREFIX_SIZE] for name in names() for way in ("", MEMFD)]


def names() -> list[str]:
    """All names that there are, and how the names of groups begin."""
    return list(dict.fromkeys([*_BY_NAME, *(start for start, *_ in STARTS)]))
