"""Many values of one type at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pybpfload.btf.codec import Codec

__all__ = ["values_of"]

# What memoryview knows in the host's byte order, which is that of every map.
NATIVE = frozenset("bBhHiIqQfd?")


def values_of(codec: Codec | None, raw: bytes, size: int) -> Sequence[Any]:
    """The values that lie one after the other in `raw`; bytes without a codec."""
    if codec is not None and codec.read is None and codec.code in NATIVE:
        return memoryview(raw).cast(codec.code).tolist()  # type: ignore[call-overload,no-any-return]
    if not size:
        return []
    parts = [raw[i : i + size] for i in range(0, len(raw), size)]
    if codec is None:
        return parts
    unpack = codec.unpack_value
    return [unpack(part) for part in parts]
