# SPDX-License-Identifier: MIT
"""Processes that end, with exit code or signal."""

from __future__ import annotations

from tracer.probes.base import Probe

PROCESS_EXIT = Probe("process_exit")
