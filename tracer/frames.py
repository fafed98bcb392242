# SPDX-License-Identifier: MIT
"""Takes a recording apart: see `tracer.sinks.recording` for its form.

A recording may come from anybody. What is read is bounded, however much it unpacks to; all that can be wrong with the
form is a ValueError, and a file that ends early gives what there is.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO

from tracer.sinks.recording import FORMAT, FRAME, LARGEST_FRAME, VERSION

LONGEST_HEAD = 1 << 16
PIECE = 1 << 16
GZIP = 31  # for zlib: with a header of gzip


class CutOffError(Exception):
    """The end of the file is missing."""


class NoRecordingError(Exception):
    """It is something else."""


def _unpacked(file: BinaryIO) -> Iterator[bytes]:
    """Pieces of the content."""
    unpack = zlib.decompressobj(GZIP)
    first = True
    while not unpack.eof:
        data = unpack.unconsumed_tail or file.read(PIECE)
        if not data:
            raise NoRecordingError if first else CutOffError
        if first and data[:2] != b"\x1f\x8b"[: len(data)]:
            raise NoRecordingError
        first = False
        yield unpack.decompress(data, PIECE)
    if unpack.unused_data or file.read(1):
        raise ValueError("something follows its end")


def read_frames(file: BinaryIO) -> Iterator[tuple[int, Any]]:
    """The head, as number 0 and an object, then the letter and the content of each frame.

    Raises:
        CutOffError: after all frames that are whole.
        NoRecordingError: the file has another format.
        ValueError: something in it is wrong.
        zlib.error: the same.
    """
    pieces = _unpacked(file)
    data = bytearray()
    while b"\n" not in data:
        if len(data) > LONGEST_HEAD:
            raise NoRecordingError
        try:
            data += next(pieces)
        except StopIteration:
            raise NoRecordingError from None
    end = data.index(b"\n")
    yield 0, _head(bytes(data[:end]))
    at, need = end + 1, FRAME.size
    while True:
        while len(data) - at < need:
            del data[:at]
            at = 0
            try:
                data += next(pieces)
            except StopIteration:
                if data:
                    raise ValueError("its last frame is not whole") from None
                return
        letter, size = FRAME.unpack_from(data, at)
        if size > LARGEST_FRAME:
            raise ValueError(f"a frame of {size} bytes, expected {LARGEST_FRAME} at most")
        need = FRAME.size + size
        if len(data) - at >= need:
            yield letter, bytes(data[at + FRAME.size : at + need])
            at, need = at + need, FRAME.size


def _head(line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        raise NoRecordingError from None
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise NoRecordingError
    if value.get("version") != VERSION:
        raise ValueError(f"version {value.get('version')}, expected {VERSION}")
    return value


def json_object(text: bytes) -> dict[str, Any]:
    """A JSON object, lists in it as tuples."""
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError("JSON that is nested too deep") from None
    if not isinstance(value, dict):
        raise ValueError(f"{type(value).__name__}, expected a JSON object")
    return {name: tuple(each) if isinstance(each, list) else each for name, each in value.items()}
