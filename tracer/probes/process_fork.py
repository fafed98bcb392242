# SPDX-License-Identifier: MIT
"""Processes that are made: so that what a child runs is known before anybody can ask."""

from __future__ import annotations

from tracer.probes.base import Probe

PROCESS_FORK = Probe("process_fork")
