# SPDX-License-Identifier: MIT
"""The live table: `crypto-tracer top`.

::

    session ─write─► LiveSink ─► Model ─rows─► Browser ─lines─► Frame ─► Terminal
    (or play.py)     app.py      state.py      browser.py       draw.py   terminal.py
                                               views.py           │
                                 keys.py ─────────┘               └► svg.py

What holds at any time:

- Text from outside goes through `text.clean` before it is part of a line: no control character, nothing that changes
  the direction of the text or takes no room.
- The model holds a bounded number of rows, whatever comes.
- Drawing never waits: what a terminal does not take at once is kept, and no frame is made until it has it. A frame is
  made ten times a second at the most, and less often where that would cost more than `app.SHARE` of a core.
- However the program ends, but for SIGKILL, the terminal is as it was.
"""
