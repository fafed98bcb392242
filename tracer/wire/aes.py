# SPDX-License-Identifier: MIT
"""AES-128, encryption only, for the public keys of QUIC's first packets: the standard library has none.

It works on many blocks at once. The state of all of them is one string of bytes: the first byte of each block, then the
second of each, and so on, row by row. So a table look-up is `bytes.translate`, a row is moved by slices, and what
columns are mixed with is shifts and exclusive ors of one large integer.
Nothing here is secret, so it does not matter that its time depends on data.
"""

from __future__ import annotations

from collections.abc import Sequence

ROUNDS, BLOCK = 10, 16

EACH_WORD = sum(1 << bits for bits in (0, 32, 64, 96))

# Where a byte of the state stands in its block: blocks are columns, one after the other; the state has rows.
PLACES = tuple(4 * column + row for row in range(4) for column in range(4))


def _double(value: int) -> int:
    """Times x in the field of AES."""
    return (value << 1) ^ (0x11B if value & 0x80 else 0)


def _table() -> bytes:
    """The S-box."""
    logarithm, power = [0] * 256, [0] * 256
    value = 1
    for exponent in range(255):
        power[exponent], logarithm[value] = value, exponent
        value ^= _double(value)  # times 3, which makes all values
    box = bytearray(256)
    for value in range(256):
        inverse = power[(255 - logarithm[value]) % 255] if value else 0
        turned = inverse
        for _ in range(4):
            inverse = (inverse << 1 | inverse >> 7) & 0xFF
            turned ^= inverse
        box[value] = turned ^ 0x63
    return bytes(box)


BOX = _table()


def expand(key: bytes) -> list[bytes]:
    """The keys of all rounds."""
    found, words, constant = [key], _number(key), 1
    for _ in range(ROUNDS):
        last = key[-4:].translate(BOX)
        word = _number(last[1:] + last[:1]) ^ constant << 24
        # To each of the four words, this one and those before it are added.
        words ^= words >> 32 ^ words >> 64 ^ words >> 96 ^ word * EACH_WORD
        key = words.to_bytes(BLOCK, "big")
        found.append(key)
        constant = _double(constant)
    return found


def encrypt(keys: list[bytes], blocks: bytes) -> bytes:
    """The blocks, each encrypted by itself."""
    count = len(blocks) // BLOCK
    if not count:
        return b""
    row, size = 4 * count, BLOCK * count
    bits = 8 * row
    low = _number(b"\x7f" * size)
    ones = _number(b"\x01" * size)
    # The keys of the rounds, each byte as often as there are blocks.
    spread = b"".join([bytes((place,)) * count for place in PLACES])
    added = [_number(spread.translate(key.ljust(256))) for key in keys]
    state = _number(b"".join([blocks[place::BLOCK] for place in PLACES])) ^ added[0]
    one, two, three = row + count, 2 * row + 2 * count, 3 * row + 3 * count
    for number in range(1, ROUNDS + 1):
        data = state.to_bytes(size, "big").translate(BOX)
        data = (data[:row] + data[one : 2 * row] + data[row:one] + data[two : 3 * row] + data[2 * row : two]
                + data[three:] + data[3 * row : three])  # fmt: skip
        state = _number(data)
        if number < ROUNDS:
            # 2a + 3b + c + d for each row a and those below it, as 2(a + b) + (a + b + c + d) + a.
            pair = state ^ _number(data[row:] + data[:row])
            every = pair ^ (pair << 2 * bits & (1 << 8 * size) - 1) ^ pair >> 2 * bits
            state ^= every ^ (pair & low) << 1 ^ (pair >> 7 & ones) * 0x1B
        state ^= added[number]
    data, result = state.to_bytes(size, "big"), bytearray(size)
    for at, place in enumerate(PLACES):
        result[place::BLOCK] = data[at * count : (at + 1) * count]
    return bytes(result)


def _number(data: bytes) -> int:
    return int.from_bytes(data, "big")


def counter_mode(keys: list[bytes], parts: Sequence[tuple[bytes, bytes]]) -> list[bytes]:
    """Data with the key stream of AES-GCM added, which encrypts and decrypts: NIST SP 800-38D. No tag is looked at.

    Args:
        parts: nonces and data; all at once is faster than one after the other.
    """
    counts = [-(-len(data) // BLOCK) for _, data in parts]
    counters = [
        nonce + number.to_bytes(4, "big") for (nonce, _), count in zip(parts, counts) for number in range(2, 2 + count)
    ]
    stream, at, found = encrypt(keys, b"".join(counters)), 0, []
    for (_, data), count in zip(parts, counts):
        size = len(data)
        found.append((_number(data) ^ _number(stream[at : at + size])).to_bytes(size, "big"))
        at += BLOCK * count
    return found
