"""Where the functions and probes of executables and libraries are, as offsets in their files: for uprobes.

Tables that stand in the file, in its compressed .gnu_debugdata, or in a debug file that has the same
build-id. Everything comes from files that anybody may have written: it is checked, and bounded.
"""

from __future__ import annotations

from pybpfload.symbols.lookup import SymbolFile, file_offset_of, file_offsets_of
from pybpfload.symbols.usdt import UsdtSite, usdt_sites

__all__ = ["SymbolFile", "UsdtSite", "file_offset_of", "file_offsets_of", "usdt_sites"]
