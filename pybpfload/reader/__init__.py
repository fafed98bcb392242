"""From the bytes of an object file to what they say.

`ObjectError` and its children are the only errors that leave, whatever the bytes; time and memory are
bounded by the size of the file.
"""

from __future__ import annotations

from pybpfload.reader.object import fill

__all__ = ["fill"]
