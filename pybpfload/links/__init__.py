"""Attaching programs: one function a kind of target, chosen by the program's SEC() name."""

from __future__ import annotations

from pybpfload.links.attach import attach
from pybpfload.links.base import Link, LinkSet

__all__ = ["Link", "LinkSet", "attach"]
