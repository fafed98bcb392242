# SPDX-License-Identifier: MIT
"""Names that stand for others: the same for the same name and key, and nobody without the key can tell whose it is.

Without a key all users are ``USER``. With one, a name becomes ``USER-`` and the first 12 hexadecimal digits of
HMAC-SHA256 over kind and name: who has the key can compute the pseudonym of a name that he knows, and so find it again
in the output of any host, but nobody gets from a pseudonym to a name that he does not think of.

Only names get pseudonyms. Passwords and tokens are hidden altogether: a pseudonym would tell when two are the same.
"""

from __future__ import annotations

import re
from functools import lru_cache

from tracer.errors import UsageError

# A key that can be guessed hides nothing; one that is longer than this is no key.
SHORTEST_KEY, LONGEST_KEY = 16, 4096
DIGITS = 12

# What stands for names, by kind.
USER, WORD = "USER", "WORD"

_DONE = rf"(?:{USER}|{WORD})(?:-[0-9a-f]{{{DIGITS}}})?"


def read_key(path: str) -> bytes:
    """The key in a file; white space around it is none of it.

    Raises:
        UsageError: it cannot be read, or is too short to be a key.
    """
    try:
        with open(path, "rb") as file:
            key = file.read(LONGEST_KEY + 1).strip()
    except (OSError, ValueError) as error:
        raise UsageError(f"--pseudonyms {path}: {getattr(error, 'strerror', None) or error}") from error
    if not SHORTEST_KEY <= len(key) <= LONGEST_KEY:
        raise UsageError(
            f"--pseudonyms {path}: {len(key)} bytes are no key: expected {SHORTEST_KEY} to {LONGEST_KEY}",
            hint="make one with: (umask 077; openssl rand -hex 32 > FILE)",
        )
    return key


def pseudonym(key: bytes, kind: str, name: str) -> str:
    """What stands for a name; of what stands for one already, the same."""
    if not key:
        return kind
    return name if re.fullmatch(_DONE, name) else _keyed(key, kind, name)


@lru_cache(maxsize=1024)
def _keyed(key: bytes, kind: str, name: str) -> str:
    import hmac  # not before it is asked for: it loads OpenSSL

    text = f"{kind}\0{name}".encode("utf-8", "surrogateescape")
    return f"{kind}-{hmac.digest(key, text, 'sha256').hex()[:DIGITS]}"
