# SPDX-License-Identifier: MIT
"""The functions of cryptographic libraries that are traced, and what their arguments mean.

One row is one function. The kernel gets the rows as a table and does what they say; so a function of another
library is a row more and no code. An argument that has no meaning here is never read: keys, passwords and
buffers have none.

======================  =================================================================
meaning of an argument
======================  =================================================================
`object`                pointer of the context or session that the call is about
`from`                  pointer of that which it takes its settings from
`made`                  address where the pointer of a new one will be; else it is returned
`certificate`           path; kept if the library takes it, and shown with the handshake
`cipher_list`           what is allowed up to TLS 1.2; kept as well
`ciphersuites`          what is allowed in TLS 1.3; kept as well
`text`                  another string to be shown: a path, a name
`fd`                    the socket
`role`                  a number whose lowest bit says server
`number`                to be shown, by its name in `names` if it has one
`at_long`               the same, at an address: the number comes first in CK_MECHANISM
``-``                   not to be looked at
======================  =================================================================

The action of a row is that of `enum ct_action` in bpf/include/api.bpf.h.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from tracer.catalog import numbers

OPENSSL, GNUTLS, NSS, GCRYPT = "OpenSSL", "GnuTLS", "NSS", "Libgcrypt"
SODIUM, MBEDTLS, WOLFSSL, PKCS11 = "libsodium", "Mbed TLS", "wolfSSL", "PKCS#11"

CLIENT, SERVER = 1, 2

# Texts that a context or session keeps.
KEPT = frozenset(("certificate", "cipher_list", "ciphersuites"))


class Function(NamedTuple):
    """A function.

    Attributes:
        symbol: its name in the library.
        family: as `tracer.catalog.libraries` calls the library's project.
        action: what a call does.
        arguments: meanings, in their order.
        role: CLIENT or SERVER where the call decides that.
        done: what it returns on success; of settings, 0 also stands for more than that.
        again: what it returns when it wants to be called again.
        vague: whether a negative result may mean the same.
        reported: whether calls are shown.
        names: of the numbers.
        outer: the function that ends with a jump to this one: then this one's call is a part of that.
        static_only: attached in executables only: programs that have a library within call it without the others.
    """

    symbol: str
    family: str
    action: str
    arguments: tuple[str, ...] = ()
    role: int = 0
    done: int = 1
    again: tuple[int, ...] = ()
    vague: bool = False
    reported: bool = True
    names: dict[int, str] = {}  # noqa: RUF012  never changed
    outer: str = ""
    static_only: bool = False

    @property
    def returns(self) -> bool:
        """Whether its return matters."""
        return self.action in {"new", "shake", "transfer", "finished"} or (
            self.action == "set" and not KEPT.isdisjoint(self.arguments)
        )


def _row(family: str, action: str, symbols: str, arguments: str = "", **more: object) -> list[Function]:
    """Rows for functions that differ in their names only."""
    return [
        Function(symbol, family, action, tuple(arguments.split()), **more)  # type: ignore[arg-type]
        for symbol in symbols.split()
    ]


def _openssl_like(family: str, prefix: str) -> list[Function]:
    """OpenSSL's functions, which wolfSSL has by the same names with a prefix."""
    context, session = f"{prefix}SSL_CTX_", f"{prefix}SSL_"
    return [
        *_row(family, "new", f"{context}new"),
        *_row(family, "new", f"{session}new", "from"),
        *_row(family, "inherit", f"{session}set_SSL_CTX", "object from"),
        *_row(family, "shake", f"{session}connect", "object", role=CLIENT, vague=True),
        *_row(family, "shake", f"{session}accept", "object", role=SERVER, vague=True),
        *_row(family, "shake", f"{session}do_handshake", "object", vague=True),
        *_row(
            family,
            "set",
            f"{context}use_certificate_file {session}use_certificate_file"
            f" {context}use_certificate_chain_file {session}use_certificate_chain_file",
            "object certificate",
        ),
        *_row(family, "call", f"{context}use_PrivateKey_file {session}use_PrivateKey_file", "- text"),
        *_row(family, "call", f"{context}use_RSAPrivateKey_file {session}use_RSAPrivateKey_file", "- text"),
        *_row(family, "call", f"{context}load_verify_locations", "- text"),
        *_row(family, "set", f"{context}set_cipher_list {session}set_cipher_list", "object cipher_list"),
        *_row(family, "set", f"{context}set_ciphersuites {session}set_ciphersuites", "object ciphersuites"),
        *_row(family, "set", f"{session}set_fd {session}set_rfd {session}set_wfd", "object fd", reported=False),
        *_row(family, "set", f"{session}set_connect_state", "object", role=CLIENT, reported=False),
        *_row(family, "set", f"{session}set_accept_state", "object", role=SERVER, reported=False),
        *_row(family, "reset", f"{session}clear", "object", reported=False),
        # not SSL_CTX_free(): it counts references, and each session holds one; a new context replaces an old one
        *_row(family, "free", f"{session}free", "object", reported=False),
    ]


_TRANSFERS = _row(
    OPENSSL,
    "transfer",
    "SSL_read SSL_write SSL_read_ex SSL_write_ex SSL_peek",
    "object",
    reported=False,
    static_only=True,
)

_OPENSSL = [
    *_openssl_like(OPENSSL, ""),
    *_row(OPENSSL, "new", "SSL_CTX_new_ex", outer="SSL_CTX_new"),
    # a socket may come as a BIO
    *_row(OPENSSL, "new", "BIO_new_socket", "fd", reported=False),
    *_row(OPENSSL, "inherit", "SSL_set_bio", "object from", reported=False),
    *_row(OPENSSL, "inherit", "SSL_set0_rbio SSL_set0_wbio", "object from", reported=False),
    # openssl s_client and others that let reading and writing do the handshake ask whether it is over
    *_row(OPENSSL, "finished", "SSL_is_init_finished", "object", reported=False),
    # or call one of these later
    *_row(
        OPENSSL,
        "look",
        "SSL_get_verify_result SSL_get_current_cipher SSL_get_version SSL_get0_peer_certificate"
        " SSL_get1_peer_certificate SSL_get_peer_certificate SSL_get0_alpn_selected SSL_get_peer_cert_chain"
        " SSL_get_shared_ciphers SSL_session_reused SSL_get_finished SSL_shutdown",
        "object",
        reported=False,
    ),
    *_TRANSFERS,
    *_row(OPENSSL, "call", "SSL_CTX_load_verify_file SSL_CTX_load_verify_dir SSL_CTX_load_verify_store", "- text"),
    *_row(OPENSSL, "call", "SSL_load_client_CA_file OSSL_STORE_open", "text"),
    *_row(OPENSSL, "call", "OSSL_PROVIDER_load", "- text"),
    *_row(OPENSSL, "call", "OSSL_PROVIDER_try_load", "- text", outer="OSSL_PROVIDER_load"),
    *_row(OPENSSL, "call", "ENGINE_by_id", "text"),
    *_row(OPENSSL, "call", "EVP_default_properties_enable_fips", "- number", names=numbers.ON_OFF),
    *_row(OPENSSL, "call", "FIPS_mode_set", "number", names=numbers.ON_OFF),
    *_row(OPENSSL, "call", "EVP_PKEY_Q_keygen", "- - text"),
    *_row(OPENSSL, "call", "EC_KEY_new_by_curve_name", "number", names=numbers.OPENSSL),
    *_row(OPENSSL, "call", "RSA_generate_key_ex", "- number"),
]

_GNUTLS = [
    *_row(GNUTLS, "new", "gnutls_init", "made role", done=0),
    *_row(GNUTLS, "new", "gnutls_priority_init", "made cipher_list", done=0),
    *_row(GNUTLS, "new", "gnutls_priority_init2", "made cipher_list", done=0),
    *_row(GNUTLS, "inherit", "gnutls_priority_set", "object from", reported=False),
    *_row(GNUTLS, "set", "gnutls_priority_set_direct", "object cipher_list", done=0),
    *_row(GNUTLS, "inherit", "gnutls_credentials_set", "object - from", reported=False),
    *_row(
        GNUTLS,
        "set",
        "gnutls_certificate_set_x509_key_file"
        " gnutls_certificate_set_x509_simple_pkcs12_file gnutls_certificate_set_rawpk_key_file",
        "object certificate",
        done=0,
    ),
    *_row(
        GNUTLS,
        "set",
        "gnutls_certificate_set_x509_key_file2",
        "object certificate",
        done=0,
        outer="gnutls_certificate_set_x509_key_file",
    ),
    *_row(GNUTLS, "call", "gnutls_certificate_set_x509_trust_file gnutls_certificate_set_x509_crl_file", "- text"),
    # E_AGAIN, E_INTERRUPTED, E_WARNING_ALERT_RECEIVED, E_GOT_APPLICATION_DATA: the rest ends it
    *_row(GNUTLS, "shake", "gnutls_handshake", "object", done=0, again=(-28, -52, -16, -38)),
    *_row(GNUTLS, "set", "gnutls_transport_set_int2", "object fd", reported=False),
    *_row(GNUTLS, "free", "gnutls_deinit gnutls_priority_deinit", "object", reported=False),
    *_row(GNUTLS, "free", "gnutls_certificate_free_credentials", "object", reported=False),
    *_row(GNUTLS, "call", "gnutls_fips140_set_mode", "number", names=numbers.GNUTLS_FIPS),
    *_row(GNUTLS, "call", "gnutls_pkcs11_add_provider", "text"),
]

_MBEDTLS = [
    *_row(
        MBEDTLS,
        "shake",
        "mbedtls_ssl_handshake",
        "object",
        done=0,
        # WANT_READ, WANT_WRITE, ASYNC_IN_PROGRESS, CRYPTO_IN_PROGRESS
        again=(-0x6900, -0x6880, -0x6500, -0x7000),
    ),
    # a certificate, a configuration that has it, and a session of that
    *_row(MBEDTLS, "set", "mbedtls_x509_crt_parse_file", "object certificate", done=0),
    *_row(MBEDTLS, "inherit", "mbedtls_ssl_conf_own_cert", "object from", reported=False),
    *_row(MBEDTLS, "set", "mbedtls_ssl_config_defaults mbedtls_ssl_conf_endpoint", "object role", reported=False),
    *_row(MBEDTLS, "inherit", "mbedtls_ssl_setup", "object from", reported=False),
    *_row(MBEDTLS, "call", "mbedtls_x509_crt_parse_path", "- text"),
    *_row(MBEDTLS, "call", "mbedtls_pk_parse_keyfile", "- text"),
    *_row(MBEDTLS, "free", "mbedtls_ssl_free mbedtls_ssl_config_free mbedtls_x509_crt_free", "object", reported=False),
]

_NSS = [
    *_row(NSS, "new", "SSL_ImportFD", "from", reported=False),
    *_row(NSS, "set", "SSL_ResetHandshake", "object role", reported=False),
    *_row(NSS, "shake", "SSL_ForceHandshake SSL_ForceHandshakeWithTimeout", "object", done=0, vague=True),
    *_row(NSS, "call", "NSS_Init NSS_InitReadWrite NSS_NoDB_Init NSS_Initialize NSS_InitContext", "text"),
]

_GCRYPT = [
    *_row(GCRYPT, "call", "gcry_cipher_open", "- number", names=numbers.GCRYPT_CIPHERS),
    *_row(GCRYPT, "call", "gcry_mac_open", "- number", names=numbers.GCRYPT_MACS),
    *_row(GCRYPT, "call", "gcry_kdf_derive", "- - number", names=numbers.GCRYPT_KDFS),
]

_SODIUM = [
    *_row(SODIUM, "call", "sodium_init"),
    *_row(SODIUM, "call", "crypto_box_keypair crypto_sign_keypair crypto_kx_keypair"),
    *_row(SODIUM, "call", "crypto_pwhash", "- - - - - - - number", names=numbers.SODIUM_PWHASH),
]

_PKCS11 = [
    *_row(
        PKCS11,
        "call",
        "C_EncryptInit C_DecryptInit C_SignInit C_VerifyInit C_DigestInit C_GenerateKey C_GenerateKeyPair",
        "- at_long",
        names=numbers.PKCS11,
    ),
]

FUNCTIONS: tuple[Function, ...] = (
    *_OPENSSL,
    *_GNUTLS,
    *_MBEDTLS,
    *_NSS,
    *_openssl_like(WOLFSSL, "wolf"),
    *_row(WOLFSSL, "shake", "wolfSSL_SSL_do_handshake", "object", vague=True),
    *_GCRYPT,
    *_SODIUM,
    *_PKCS11,
)

ROW_NUMBERS = {(row.family, row.symbol): number for number, row in enumerate(FUNCTIONS)}
# Functions that end with a jump to another one.
JUMPS = frozenset((row.family, row.outer) for row in FUNCTIONS if row.outer)

# An executable that has one of these has the library within: node has OpenSSL.
MARKERS = {
    "SSL_do_handshake": OPENSSL,
    "gnutls_handshake": GNUTLS,
    "mbedtls_ssl_handshake": MBEDTLS,
    "wolfSSL_connect": WOLFSSL,
}

# Projects whose libraries have OpenSSL's functions by OpenSSL's names.
LIKE_OPENSSL = ("OpenSSL", "LibreSSL", "BoringSSL", "AWS-LC", "Tongsuo", "Python", "Ruby", "PHP")


@lru_cache(maxsize=64)
def functions_of(family: str, role: str = "", *, within: bool = False) -> dict[str, int]:
    """The functions to look for in a library: symbol -> row.

    Args:
        family, role: of the library.
        within: whether it is a part of an executable.
    """
    wanted = {OPENSSL} if family in LIKE_OPENSSL else {family}
    if role == "token":
        wanted.add(PKCS11)
    return {
        row.symbol: number
        for number, row in enumerate(FUNCTIONS)
        if row.family in wanted and (within or not row.static_only)
    }


def argument(row: Function, number: int, text: str) -> str | None:
    """The argument that a call shows: the string, or the name of the number; None if it has none."""
    if text:
        return text
    if not {"number", "at_long"} & set(row.arguments):
        return None
    return row.names.get(number, str(number))
