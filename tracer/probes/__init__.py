# SPDX-License-Identifier: MIT
"""The probes: one file for each.

No probe is indispensable: what one cannot show, the others still can. A command that is pointless without
a certain probe names it itself.
"""

from __future__ import annotations

from tracer.probes.api_count import API_COUNT
from tracer.probes.base import Probe
from tracer.probes.file_open import FILE_OPEN
from tracer.probes.kernel_crypto import KERNEL_CRYPTO
from tracer.probes.lib_load import LIB_LOAD
from tracer.probes.lib_open import LIB_OPEN
from tracer.probes.openssl_api import OPENSSL_API
from tracer.probes.process_exec import PROCESS_EXEC
from tracer.probes.process_exit import PROCESS_EXIT
from tracer.probes.process_fork import PROCESS_FORK
from tracer.probes.process_tree import PROCESS_TREE
from tracer.probes.wire import WIRE

__all__ = ["PROBES", "Probe"]

# The tree comes first: the others look at what it knows.
# Counts come before the exec or the exit that ends them: both are sent at the same hook.
# Fork and exec come next: an open is told to its process better when what came before it has been seen.
PROBES = (
    PROCESS_TREE,
    API_COUNT,
    PROCESS_FORK,
    PROCESS_EXEC,
    PROCESS_EXIT,
    LIB_LOAD,
    LIB_OPEN,
    FILE_OPEN,
    OPENSSL_API,
    WIRE,
    KERNEL_CRYPTO,
)
