"""CO-RE: what a program was compiled against, found again in the BTF of the kernel it runs on.

`match` finds the target of a relocation, `compute` works out its value, `apply` patches it into an
instruction. The rules are libbpf's (relo_core.c): its candidates, compatibility, ambiguity and poison.
"""

from __future__ import annotations

from pybpfload.core.apply import patch
from pybpfload.core.compute import Resolution, Resolver

__all__ = ["Resolution", "Resolver", "patch"]
