# SPDX-License-Identifier: MIT
"""Which files are cryptography, by name.

The rows are used twice. The kernel gets the patterns and the directories, and drops every open that
matches none of them. User space says what type a reported file has. Both follow one rule:

- `SUFFIXES`: from the last dot of the last component on: `.pem`;
- `NAMES`: the whole last component: `id_rsa`;
- both in lower case, at most 16 bytes (the kernel's key), and the case of A to Z in the file's name
  does not matter;
- `DIRECTORIES`: an absolute name that begins with one of these, as the process gave it.

The C tool's types keep their names: `certificate`, `private_key`, `keystore`. What lies in a directory of
cryptography and matches no row is `other`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

# The longest name that the kernel's table holds.
PATTERN_SIZE = 16
DIRECTORY_SIZE = 64

SUFFIXES = {
    # certificates; a .pem may hold a key as well, but most do not
    ".pem": "certificate",
    ".crt": "certificate",
    ".cer": "certificate",
    ".cert": "certificate",
    ".der": "certificate",
    ".cacert": "certificate",
    ".ca-bundle": "certificate",
    ".csr": "certificate_request",
    ".p10": "certificate_request",
    ".crl": "crl",
    ".p7b": "pkcs7",
    ".p7c": "pkcs7",
    ".p7m": "pkcs7",
    ".p7s": "pkcs7",
    ".spc": "pkcs7",
    # keys
    ".key": "private_key",
    ".p8": "private_key",
    ".pk8": "private_key",
    ".pvk": "private_key",
    ".ppk": "private_key",
    ".pub": "public_key",
    ".pubkey": "public_key",
    ".jwk": "private_key",
    ".jwks": "public_key",
    ".keytab": "keytab",
    ".keylog": "key_log",
    # stores
    ".p12": "keystore",
    ".pfx": "keystore",
    ".jks": "keystore",
    ".jceks": "keystore",
    ".bks": "keystore",
    ".bcfks": "keystore",
    ".keystore": "keystore",
    ".truststore": "keystore",
    ".kdb": "keystore",
    ".kdbx": "keystore",
    # OpenPGP
    ".gpg": "openpgp",
    ".pgp": "openpgp",
    ".asc": "openpgp",
    ".kbx": "openpgp",
    ".ovpn": "config",
}

NAMES = {
    # OpenSSH
    "id_rsa": "ssh_private_key",
    "id_dsa": "ssh_private_key",
    "id_ecdsa": "ssh_private_key",
    "id_ecdsa_sk": "ssh_private_key",
    "id_ed25519": "ssh_private_key",
    "id_ed25519_sk": "ssh_private_key",
    "ssh_host_rsa_key": "ssh_private_key",
    "authorized_keys": "ssh_trust",
    "authorized_keys2": "ssh_trust",
    "known_hosts": "ssh_trust",
    "ssh_known_hosts": "ssh_trust",
    "ssh_config": "config",
    "sshd_config": "config",
    # NSS and Java
    "cert8.db": "keystore",
    "cert9.db": "keystore",
    "key3.db": "keystore",
    "key4.db": "keystore",
    "cacerts": "keystore",
    "cwallet.sso": "keystore",
    "java.security": "config",
    "pkcs11.txt": "config",
    # settings of libraries
    "openssl.cnf": "config",
    "fipsmodule.cnf": "config",
    "dhparam": "parameters",
    "dhparam.pem": "parameters",
    "dhparams.pem": "parameters",
    "dh2048.pem": "parameters",
    "dh4096.pem": "parameters",
}

DIRECTORIES: tuple[str, ...] = (
    "/etc/ssl/",
    "/usr/lib/ssl/",  # OPENSSLDIR of Debian
    "/usr/local/ssl/",
    "/etc/pki/",
    "/etc/ca-certificates/",
    "/usr/share/ca-certificates/",
    "/usr/local/share/ca-certificates/",
    "/var/lib/ca-certificates/",
    "/etc/letsencrypt/",
    "/var/lib/acme/",
    "/etc/crypto-policies/",
    "/etc/gnutls/",
    "/etc/ssh/",
    "/root/.ssh/",
    "/root/.gnupg/",
    "/etc/ipsec.d/",
    "/etc/swanctl/",
    "/etc/wireguard/",
    "/etc/openvpn/",
    "/etc/docker/certs.d/",
    "/etc/kubernetes/pki/",
    "/var/lib/kubelet/pki/",
    "/run/secrets/kubernetes.io/",
    "/var/run/secrets/kubernetes.io/",
)

# The rest is known by its name only where a directory says that it is cryptography at all.
IN_DIRECTORIES = (
    (re.compile(r"[0-9a-f]{8}\.[0-9]+"), "certificate"),  # links by hash of the subject, see c_rehash(1)
    (re.compile(r"[0-9a-f]{8}\.r[0-9]+"), "crl"),
    (re.compile(r"ssh_host_[a-z0-9]+_key"), "ssh_private_key"),
    (re.compile(r".+\.(cnf|conf|config)|[a-z]+_config"), "config"),
)

OTHER = "other"

_A_TO_Z = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")


def file_type(path: str) -> str:
    """The type of a file with that name, or "" if it is none of ours."""
    # str.lower() would also fold letters that the kernel's table does not: KELVIN SIGN to k, for one.
    base = path[path.rfind("/") + 1 :]
    base = base.lower() if base.isascii() else base.translate(_A_TO_Z)
    found = NAMES.get(base) or SUFFIXES.get(base[base.rfind(".") :] if "." in base else "")
    if found or not path.startswith(DIRECTORIES):
        return found or ""
    for pattern, kind in IN_DIRECTORIES:
        if pattern.fullmatch(base):
            return kind
    return OTHER


def patterns() -> list[str]:
    """All that the kernel's table of names has to hold."""
    return [*SUFFIXES, *NAMES]


def add(suffixes: dict[str, str], names: dict[str, str], directories: Iterable[str]) -> None:
    """Rows of the user's own. They count for probes that are loaded later.

    Args:
        suffixes: types by suffix, with its dot.
        names: types by whole name.
        directories: absolute paths with a slash at the end.
    """
    global DIRECTORIES
    SUFFIXES.update((suffix.translate(_A_TO_Z), kind) for suffix, kind in suffixes.items())
    NAMES.update((name.translate(_A_TO_Z), kind) for name, kind in names.items())
    DIRECTORIES = (*DIRECTORIES, *directories)
