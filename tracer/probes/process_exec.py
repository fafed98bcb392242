# SPDX-License-Identifier: MIT
"""Programs that are started, with their arguments."""

from __future__ import annotations

from tracer.probes.base import Probe

PROCESS_EXEC = Probe("process_exec")
