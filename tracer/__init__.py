# SPDX-License-Identifier: MIT
"""crypto-tracer: see which cryptography a Linux host really uses.

::

    kernel ─ring─► decode ─► filter ─► classify ─► enrich ─► redact ─► sink
             manager                     pipeline                      sinks

`tracer.cli` is the way in. Nothing is imported here: `--help` has to be quick.
"""
