"""Programs: loaded through the verifier, looked at, run."""

from __future__ import annotations

from pybpfload.progs.info import ProgramInfo, ProgramStats, RunStats, list_programs
from pybpfload.progs.load import attach_name, load_program
from pybpfload.progs.program import Program, RunResult, open_program
from pybpfload.progs.xlated import Xlated, XlatedInsn

__all__ = [
    "Program",
    "ProgramInfo",
    "ProgramStats",
    "RunResult",
    "RunStats",
    "Xlated",
    "XlatedInsn",
    "attach_name",
    "list_programs",
    "load_program",
    "open_program",
]
