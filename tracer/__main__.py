# SPDX-License-Identifier: MIT
"""`python -m tracer` is `crypto-tracer`."""

from __future__ import annotations

import sys

try:
    from tracer.cli import main
except KeyboardInterrupt:  # before main() could listen to signals
    sys.exit(130)

if __name__ == "__main__":
    sys.exit(main())
