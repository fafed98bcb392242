# SPDX-License-Identifier: MIT
"""Functions that are called too often for an event each: `--deep` counts them.

They are those that begin to use an algorithm: that encrypt, hash, sign. Those that fetch one are not here: OpenSSL
fetches dozens at the start, and uses none of them by that.

One row is one function, as in `tracer.catalog.functions`. `as_` says what the argument is that tells the algorithm:
an entry of `enum ct_algorithm_as` in bpf/api_count_trace.bpf.c. Keys, passwords and data have no meaning and are
never read. OpenSSL's functions of one kind end up in each other; only the inner ones are here, so that a call counts
once.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from tracer.catalog import numbers
from tracer.catalog.functions import GCRYPT, GNUTLS, LIKE_OPENSSL, OPENSSL, SODIUM


class Counted(NamedTuple):
    """A function.

    Attributes:
        symbol: its name in the library.
        family: as `tracer.catalog.libraries` calls the library's project.
        as_: what the argument is.
        argument: which one it is, counted from 1; 0 for none.
        context: which one begins with what was given last, if nothing is given now.
        names: of the numbers.
        algorithm: what the function does, if no argument tells it.
        outer: the function that ends with a jump to this one, in some version: then this one's call is a part of that.
    """

    symbol: str
    family: str
    as_: str = "none"
    argument: int = 0
    context: int = 0
    names: dict[int, str] = {}  # noqa: RUF012  never changed
    algorithm: str = ""
    outer: str = ""


def _rows(family: str, symbols: str, as_: str, argument: int, **more: object) -> list[Counted]:
    return [Counted(symbol, family, as_, argument, **more) for symbol in symbols.split()]  # type: ignore[arg-type]


def _named(family: str, algorithms: dict[str, str]) -> list[Counted]:
    """Functions whose name tells the algorithm."""
    return [
        Counted(symbol, family, algorithm=algorithm)
        for algorithm, symbols in algorithms.items()
        for symbol in symbols.split()
    ]


_CIPHERS = {"names": numbers.OPENSSL, "context": 1}
_KEYS = {"names": numbers.OPENSSL_KEYS}

_OPENSSL = [
    *_rows(OPENSSL, "EVP_CipherInit EVP_CipherInit_ex2", "cipher", 2, **_CIPHERS),
    *_rows(OPENSSL, "EVP_CipherInit_ex", "cipher", 2, outer="EVP_CipherInit", **_CIPHERS),
    *_rows(OPENSSL, "EVP_DigestInit EVP_DigestInit_ex2", "digest", 2, **_CIPHERS),
    *_rows(OPENSSL, "EVP_DigestInit_ex", "digest", 2, outer="EVP_DigestInit", **_CIPHERS),
    *_rows(OPENSSL, "EVP_Digest", "digest", 5, names=numbers.OPENSSL),
    *_rows(OPENSSL, "HMAC", "digest", 1, names=numbers.OPENSSL),
    *_rows(OPENSSL, "PKCS5_PBKDF2_HMAC", "digest", 6, names=numbers.OPENSSL),
    *_rows(OPENSSL, "EVP_DigestSignInit EVP_DigestVerifyInit", "at_int", 5, **_KEYS),
    *_rows(OPENSSL, "EVP_DigestSignInit_ex EVP_DigestVerifyInit_ex", "at_int", 6, **_KEYS),
    *_rows(
        OPENSSL,
        "EVP_PKEY_sign EVP_PKEY_verify EVP_PKEY_derive EVP_PKEY_encrypt EVP_PKEY_decrypt EVP_PKEY_encapsulate"
        " EVP_PKEY_decapsulate EVP_PKEY_keygen",
        "key_context",
        1,
        **_KEYS,
    ),
    *_rows(OPENSSL, "EVP_PKEY_generate", "key_context", 1, outer="EVP_PKEY_keygen", **_KEYS),
    *_named(
        OPENSSL,
        {
            "MD5": "MD5_Init",
            "SHA1": "SHA1_Init",
            "SHA256": "SHA256_Init",
            "SHA512": "SHA512_Init",
            "RC4": "RC4_set_key",
            "DES": "DES_set_key_unchecked DES_set_key_checked",
            "Blowfish": "BF_set_key",
            "AES": "AES_set_encrypt_key AES_set_decrypt_key",
        },
    ),
]

_GNUTLS = [
    *_rows(GNUTLS, "gnutls_cipher_init gnutls_aead_cipher_init", "number", 2, names=numbers.GNUTLS_CIPHERS),
    *_rows(GNUTLS, "gnutls_hash_init gnutls_hmac_init", "number", 2, names=numbers.GNUTLS_MACS),
    *_rows(GNUTLS, "gnutls_hash_fast gnutls_hmac_fast", "number", 1, names=numbers.GNUTLS_MACS),
]

_GCRYPT = [
    *_rows(GCRYPT, "gcry_md_open", "number", 2, names=numbers.GCRYPT_MDS),
    *_rows(GCRYPT, "gcry_md_hash_buffer gcry_md_hash_buffers", "number", 1, names=numbers.GCRYPT_MDS),
]

_SODIUM = _named(
    SODIUM,
    {
        "XSalsa20-Poly1305": "crypto_secretbox_easy crypto_secretbox_open_easy",
        "X25519-XSalsa20-Poly1305": "crypto_box_easy crypto_box_open_easy crypto_box_seal crypto_box_seal_open",
        "Ed25519": "crypto_sign crypto_sign_open crypto_sign_detached crypto_sign_verify_detached",
        "BLAKE2b": "crypto_generichash crypto_generichash_init",
        "X25519": "crypto_scalarmult crypto_kx_client_session_keys crypto_kx_server_session_keys",
        "ChaCha20-Poly1305-IETF": "crypto_aead_chacha20poly1305_ietf_encrypt crypto_aead_chacha20poly1305_ietf_decrypt",
        "XChaCha20-Poly1305-IETF": "crypto_aead_xchacha20poly1305_ietf_encrypt"
        " crypto_aead_xchacha20poly1305_ietf_decrypt",
        "AES-256-GCM": "crypto_aead_aes256gcm_encrypt crypto_aead_aes256gcm_decrypt",
    },
)

COUNTED: tuple[Counted, ...] = (*_OPENSSL, *_GNUTLS, *_GCRYPT, *_SODIUM)
NUMBERS = {row.symbol: number for number, row in enumerate(COUNTED)}
# Functions that end with a jump to another one.
JUMPS = frozenset(row.outer for row in COUNTED if row.outer)

# An executable that has one of these has the library within.
COUNTED_MARKERS = {"EVP_DigestInit_ex": OPENSSL, "gnutls_hash_init": GNUTLS}

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/+-]{0,46}")


@lru_cache(maxsize=64)
def counted_of(family: str) -> dict[str, int]:
    """The functions to look for in a library: symbol -> row."""
    wanted = OPENSSL if family in LIKE_OPENSSL else family
    return {row.symbol: number for number, row in enumerate(COUNTED) if row.family == wanted}


def algorithm(row: Counted, number: int, name: str) -> str | None:
    """What an algorithm is called; None if it could not be told.

    Args:
        number, name: as the library has them; one is enough. What is no name of an algorithm is none.
    """
    if row.algorithm:
        return row.algorithm
    if number > 0:
        return row.names.get(number, f"number {number}")
    return name if _NAME.fullmatch(name) else None
