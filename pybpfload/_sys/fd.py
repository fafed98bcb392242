"""Owning a file descriptor."""

from __future__ import annotations

import os
import warnings

from pybpfload._sys.signals import uninterrupted

__all__ = ["Fd"]


class Fd:
    """One file descriptor and the duty to close it.

    Losing the last reference without `close()` warns: what a descriptor keeps alive in the kernel
    (a link!) should not depend on garbage collection.
    """

    def __init__(self, number: int, what: str) -> None:
        self._number = number
        self._what = what

    def __repr__(self) -> str:
        return f"<Fd {self._what} {self._number if self._number >= 0 else 'closed'}>"

    @property
    def closed(self) -> bool:
        return self._number < 0

    def fileno(self) -> int:
        """The number.

        Raises:
            ValueError: it is closed.
        """
        if self._number < 0:
            raise ValueError(f"{self._what} is closed")
        return self._number

    @uninterrupted
    def close(self) -> None:
        """Close it; closing twice does nothing."""
        number, self._number = self._number, -1
        if number >= 0:
            os.close(number)

    def __enter__(self) -> Fd:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_number", -1) >= 0:
            self.close()  # first: the warning may be made an error
            warnings.warn(f"{self._what} was not closed", ResourceWarning, source=self, stacklevel=2)
