# SPDX-License-Identifier: MIT
"""How all benchmarks print."""

from __future__ import annotations

__all__ = ["print_row"]


def print_row(title: str, *cells: str) -> None:
    """One line of a table."""
    print(f"{title:24}" + "".join(f"{cell:>24}" for cell in cells))
