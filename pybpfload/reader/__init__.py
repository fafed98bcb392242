"""From the bytes of an object file to an `ObjectSpec`.

`ObjectError` and its children are the only errors that leave, whatever the bytes; time and memory are
bounded by the size of the file.
"""

from __future__ import annotations

from pybpfload.reader.object import read_object

__all__ = ["read_object"]
