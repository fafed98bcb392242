"""Reading files that may be anything."""

from __future__ import annotations

import os
from typing import Union

from pybpfload.errors import ObjectError, printable

__all__ = ["Path", "read_file"]

Path = Union[str, "os.PathLike[str]"]
CHUNK = 1 << 20


def read_file(path: Path, limit: int) -> bytes:
    """The contents of a file, which may be a device or grow meanwhile; memory follows what was read.

    Raises:
        ObjectError: there are more than `limit` bytes.
        OSError: it cannot be read.
    """
    parts, total = [], 0
    with open(path, "rb") as file:
        try:
            while part := file.read(CHUNK):
                parts.append(part)
                total += len(part)
                if total > limit:
                    raise ObjectError(f"{printable(os.fspath(path))}: larger than {limit} bytes")
        except OSError as error:
            error.filename = error.filename or os.fspath(path)
            raise
    return parts[0] if len(parts) == 1 else b"".join(parts)
