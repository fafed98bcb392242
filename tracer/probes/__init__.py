# SPDX-License-Identifier: MIT
"""The probes: one file for each.

No probe is indispensable: what one cannot show, the others still can. A command that is pointless without
a certain probe names it itself.
"""

from __future__ import annotations

from tracer.probes.base import Probe
from tracer.probes.file_open import FILE_OPEN
from tracer.probes.openssl_api import OPENSSL_API
from tracer.probes.process_exec import PROCESS_EXEC
from tracer.probes.process_exit import PROCESS_EXIT

__all__ = ["PROBES", "Probe"]

# Exec comes first: an open is told to its process better when the exec before it has been seen.
PROBES = (PROCESS_EXEC, PROCESS_EXIT, FILE_OPEN, OPENSSL_API)
