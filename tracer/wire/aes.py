# SPDX-License-Identifier: MIT
"""AES-128, encryption only, for the public keys of QUIC's first packets: the standard library has none.

It works on many blocks at once: byte i of all blocks is one string, so that a table look-up is `bytes.translate` and
an exclusive or is one of large integers. Nothing here is secret, so it does not matter that its time depends on data.
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
    ones = int.from_bytes(b"\1" * count, "big")
    number = int.from_bytes
    state = [
        (number(blocks[i::BLOCK], "big") ^ ones * keys[0][i]).to_bytes(count, "big") for i in range(BLOCK)
    ]  # fmt: skip
    for round_key in keys[1:-1]:
        once = [number(part.translate(BOX), "big") for part in state]
        twice = [number(part.translate(TWICE), "big") for part in state]
        thrice = [number(part.translate(THRICE), "big") for part in state]
        mixed = []
        for i in range(BLOCK):
            # Row i % 4 of the column that is the result of moving the rows.
            column, row = i // 4, i % 4
            places = [(4 * ((column + r) % 4) + r) for r in ((row + k) % 4 for k in range(4))]
            value = twice[places[0]] ^ thrice[places[1]] ^ once[places[2]] ^ once[places[3]] ^ ones * round_key[i]
            mixed.append(value.to_bytes(count, "big"))
        state = mixed
    result = bytearray(len(blocks))
    for i in range(BLOCK):
        moved = state[(i + 4 * (i % 4)) % BLOCK].translate(BOX)
        result[i::BLOCK] = (number(moved, "big") ^ ones * keys[-1][i]).to_bytes(count, "big")
    return bytes(result)


def counter_mode(keys: list[bytes], nonce: bytes, data: bytes) -> bytes:
    """Data with the key stream of AES-GCM added, which encrypts and decrypts: NIST SP 800-38D. No tag is looked at."""
    count = -(-len(data) // BLOCK)
    stream = encrypt(keys, b"".join(nonce + number.to_bytes(4, "big") for number in range(2, 2 + count)))
    size = len(data)
    return (int.from_bytes(data, "big") ^ int.from_bytes(stream[:size], "big")).to_bytes(size, "big")
