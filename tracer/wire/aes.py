# SPDX-License-Identifier: MIT
"""AES-128, encryption only, for the public keys of QUIC's first packets: the standard library has none.

It works on many blocks at once: the same bytes of all blocks stand together, so that a table look-up is
`bytes.translate`, and an exclusive or is one of large integers.
Nothing here is secret, so it does not matter that its time depends on data.
"""

from __future__ import annotations

ROUNDS, BLOCK = 10, 16


def _double(value: int) -> int:
    """Times x in the field of AES."""
    return (value << 1) ^ (0x11B if value & 0x80 else 0)


def _tables() -> tuple[bytes, bytes, bytes]:
    """The S-box, and twice and three times its values."""
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
    twice = bytes(map(_double, box))
    return bytes(box), twice, bytes(a ^ b for a, b in zip(box, twice))


BOX, TWICE, THRICE = _tables()


def expand(key: bytes) -> list[bytes]:
    """The keys of all rounds."""
    words = [key[i : i + 4] for i in range(0, BLOCK, 4)]
    constant = 1
    for i in range(4, 4 * (ROUNDS + 1)):
        word = words[-1]
        if i % 4 == 0:
            word = (word[1:] + word[:1]).translate(BOX)
            word = bytes((word[0] ^ constant,)) + word[1:]
            constant = _double(constant)
        words.append(bytes(a ^ b for a, b in zip(words[-4], word)))
    return [b"".join(words[i : i + 4]) for i in range(0, len(words), 4)]


def encrypt(keys: list[bytes], blocks: bytes) -> bytes:
    """The blocks, each encrypted by itself."""
    count = len(blocks) // BLOCK
    # A row of the state is its four columns, one after the other, each with its byte of all blocks.
    places = [[4 * column + row for column in range(4)] for row in range(4)]
    spread = [[_spread(key[row::4], count) for row in range(4)] for key in keys]
    rows = [
        (_number(b"".join(blocks[place::BLOCK] for place in row)) ^ key).to_bytes(4 * count, "big")
        for row, key in zip(places, spread[0])
    ]
    for key in spread[1:-1]:
        moved = [row[i * count :] + row[: i * count] for i, row in enumerate(rows)]
        once, twice, thrice = ([_number(row.translate(table)) for row in moved] for table in (BOX, TWICE, THRICE))
        rows = [
            (twice[i] ^ thrice[(i + 1) % 4] ^ once[(i + 2) % 4] ^ once[(i + 3) % 4] ^ key[i]).to_bytes(4 * count, "big")
            for i in range(4)
        ]
    result = bytearray(len(blocks))
    for i, row in enumerate(rows):
        moved_row = (row[i * count :] + row[: i * count]).translate(BOX)
        last = (_number(moved_row) ^ spread[-1][i]).to_bytes(4 * count, "big")
        for column, place in enumerate(places[i]):
            result[place::BLOCK] = last[column * count : (column + 1) * count]
    return bytes(result)


def _number(data: bytes) -> int:
    return int.from_bytes(data, "big")


def _spread(key: bytes, count: int) -> int:
    """Four bytes of a key, each as often as there are blocks."""
    return _number(b"".join(bytes((byte,)) * count for byte in key))


def counter_mode(keys: list[bytes], nonce: bytes, data: bytes) -> bytes:
    """Data with the key stream of AES-GCM added, which encrypts and decrypts: NIST SP 800-38D. No tag is looked at."""
    count = -(-len(data) // BLOCK)
    stream = encrypt(keys, b"".join(nonce + number.to_bytes(4, "big") for number in range(2, 2 + count)))
    size = len(data)
    return (int.from_bytes(data, "big") ^ int.from_bytes(stream[:size], "big")).to_bytes(size, "big")
