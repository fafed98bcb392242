# SPDX-License-Identifier: MIT
"""Key-exchange groups of TLS: the numbers of IANA's registry "TLS Supported Groups", and of drafts that were deployed.

`HYBRID` are those that join a classical exchange with one that a quantum computer does not break, `PURE` have only
the latter; all others are classical.
"""

from __future__ import annotations

from functools import lru_cache

GROUPS = {
    1: "sect163k1", 2: "sect163r1", 3: "sect163r2", 4: "sect193r1", 5: "sect193r2", 6: "sect233k1", 7: "sect233r1",
    8: "sect239k1", 9: "sect283k1", 10: "sect283r1", 11: "sect409k1", 12: "sect409r1", 13: "sect571k1",
    14: "sect571r1", 15: "secp160k1", 16: "secp160r1", 17: "secp160r2", 18: "secp192k1", 19: "secp192r1",
    20: "secp224k1", 21: "secp224r1", 22: "secp256k1", 23: "secp256r1", 24: "secp384r1", 25: "secp521r1",
    26: "brainpoolP256r1", 27: "brainpoolP384r1", 28: "brainpoolP512r1", 29: "x25519", 30: "x448",
    31: "brainpoolP256r1tls13", 32: "brainpoolP384r1tls13", 33: "brainpoolP512r1tls13", 34: "GC256A", 35: "GC256B",
    36: "GC256C", 37: "GC256D", 38: "GC512A", 39: "GC512B", 40: "GC512C", 41: "curveSM2",
    256: "ffdhe2048", 257: "ffdhe3072", 258: "ffdhe4096", 259: "ffdhe6144", 260: "ffdhe8192",
    0x0200: "MLKEM512", 0x0201: "MLKEM768", 0x0202: "MLKEM1024",
    0x11EB: "SecP256r1MLKEM768", 0x11EC: "X25519MLKEM768", 0x11ED: "SecP384r1MLKEM1024", 0x11EE: "curveSM2MLKEM768",
    0x4138: "CECPQ2", 0x6399: "X25519Kyber768Draft00", 0x639A: "SecP256r1Kyber768Draft00",
    0xFE30: "X25519Kyber512Draft00", 0xFE31: "X25519Kyber768Draft00Old", 0xFE32: "P256Kyber768Draft00",
    0xFF01: "arbitrary_explicit_prime_curves", 0xFF02: "arbitrary_explicit_char2_curves",
}  # fmt: skip

PURE = frozenset((0x0200, 0x0201, 0x0202))
# Drafts that the final ones have replaced.
DRAFTS = frozenset((0x4138, 0x6399, 0x639A, 0xFE30, 0xFE31, 0xFE32))
HYBRID = frozenset((0x11EB, 0x11EC, 0x11ED, 0x11EE)) | DRAFTS

# Fewer than 112 bits of strength: NIST SP 800-57.
SHORT = frozenset((1, 2, 3, 4, 5, 15, 16, 17, 18, 19))


def group_name(number: int) -> str:
    """``X25519MLKEM768``; the number, if nobody has given it a name."""
    return GROUPS.get(number) or f"0x{number:04X}"


# Size in bits, number of the group, and the constant of its prime: RFC 7919, appendix A.
_FFDHE = ((2048, 256, 560316), (3072, 257, 2625351), (4096, 258, 5736041), (6144, 259, 15705020),
          (8192, 260, 10965728))  # fmt: skip


@lru_cache(maxsize=1)
def finite_fields() -> dict[int, int]:
    """The primes of the ffdhe groups, and their numbers.

    They are 2^b - 2^(b-64) + (floor(2^(b-130) e) + X) 2^64 - 1, where e is Euler's number: made here, not copied.
    """
    bits = max(size for size, _, _ in _FFDHE) + 64
    term = euler = 1 << bits
    divisor = 1
    while term:
        term //= divisor
        euler += term
        divisor += 1
    return {
        (1 << size) - (1 << (size - 64)) + (((euler >> (bits - size + 130)) + constant) << 64) - 1: number
        for size, number, constant in _FFDHE
    }
