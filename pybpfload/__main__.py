"""``python -m pybpfload``; see `pybpfload.cli`."""

from __future__ import annotations

import io
import signal
import sys

from pybpfload.cli import main

if __name__ == "__main__":
    # As other programs do: a reader that goes away ends us, without a word.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    sys.exit(main())
