# SPDX-License-Identifier: MIT
"""Which view is shown, how it is sorted, filtered and scrolled; changed by keys, read by whoever draws.

Nothing here depends on the size of the terminal but how far a page goes, so a resize changes no state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tracer.live.columns import layout
from tracer.live.views import VIEWS, search_text
from tracer.options import VIEWS as VIEW_NAMES

if TYPE_CHECKING:
    from tracer.live.state import Model
    from tracer.live.views import Column, View

TABLE, DETAIL, HELP = "table", "detail", "help"
LONGEST_FILTER = 200

# What a key asks of others than the table.
QUIT, REDRAW, PICTURE, FASTER, SLOWER, PAUSE = "quit", "redraw", "picture", "faster", "slower", "pause"

# key: what it is for; the help has them in this order.
HELP_ROWS = (
    ("1 .. 6, Tab", "another view"),
    ("up down, k j", "one row up or down"),
    ("PgUp PgDn", "a page up or down"),
    ("Home End, g G", "first row (and follow it), last row"),
    ("Enter, Esc", "all of a row; back"),
    ("/, F4", "filter as you type; Enter keeps it, Esc drops it"),
    ("< >, F6", "sort by the column to the left, to the right"),
    ("I", "invert the order"),
    ("p, Space", "pause the table, or a replay"),
    ("+ -", "replay faster, slower"),
    ("S", "write the picture of --export-svg now"),
    ("Ctrl-L", "draw all anew"),
    ("?, h, F1", "this help"),
    ("q, F10", "quit"),
)


class TableState:
    """How one view is shown.

    Attributes:
        sort: number of the column that it is sorted by; -1: as the rows come.
        inverted: whether in the other direction than at first.
        filter: rows have to have this in their texts, in lower case.
        cursor: key of the row that is chosen; None: the first one, whichever that is.
        line: on which line of the screen that row is.
    """

    def __init__(self, sort: int) -> None:
        self.sort = sort
        self.inverted = False
        self.filter = ""
        self.cursor: Any = None
        self.line = 0


class Visible:
    """What there is to draw of a table.

    Attributes:
        rows: those on the screen.
        chosen: number of the chosen one among them; -1 if there are none.
        at: its number among all that match, from 0.
        matching: how many match the filter.
        total: how many there are.
    """

    def __init__(self, rows: list[Any], chosen: int, at: int, matching: int, total: int) -> None:
        self.rows, self.chosen, self.at, self.matching, self.total = rows, chosen, at, matching, total


class Browser:
    """The state of what is shown.

    Attributes:
        number: of the view.
        mode: one of TABLE, DETAIL and HELP.
        typing: whether keys go into the filter.
        frozen: the model that is shown while the table is paused.
        row: the row whose detail is shown.
        top: first line of the detail or the help that is shown.
    """

    def __init__(self, view: str = VIEW_NAMES[0], *, freezes: bool = True) -> None:
        self.number = VIEW_NAMES.index(view)
        self.mode = TABLE
        self.typing = False
        self.frozen: Model | None = None
        self.row: Any = None
        self.top = 0
        self._freezes = freezes
        self._states = [TableState(view.sort) for view in VIEWS]
        self._page = 10
        self._width = 80

    @property
    def view(self) -> View:
        """The view that is shown."""
        return VIEWS[self.number]

    @property
    def state(self) -> TableState:
        """How it is shown."""
        return self._states[self.number]

    # What is drawn.

    def look(self, model: Model, width: int, height: int) -> Visible:
        """The rows that fit into so many lines."""
        self._page, self._width = max(height, 1), width
        state = self.state
        total, rows = self._match(model)
        at = self._find(rows)
        height = self._page
        line = min(state.line, at, height - 1)
        first = max(0, min(at - line, len(rows) - height))
        state.line = at - first
        chosen = state.line if rows else -1
        return Visible(rows[first : first + height], chosen, at, len(rows), total)

    def _match(self, model: Model) -> tuple[int, list[Any]]:
        """How many rows there are, and those that match the filter in their order."""
        state, view = self.state, self.view
        rows = list(view.rows(self.frozen or model))
        total = len(rows)
        if state.filter:
            rows = [row for row in rows if state.filter in search_text(view, row)]
        if state.sort >= 0:
            column = view.columns[state.sort]
            rows.sort(key=column.value or column.text, reverse=column.down is not state.inverted)
        elif state.inverted:
            rows.reverse()
        return total, rows

    def _find(self, rows: list[Any]) -> int:
        state = self.state
        if state.cursor is None:
            return 0
        for number, row in enumerate(rows):
            if row.key == state.cursor:
                return number
        state.cursor = None  # it is gone
        return 0

    def columns(self, width: int) -> tuple[tuple[Column, int], ...]:
        """The columns that there is room for, and their widths."""
        return layout(self.view.columns, width)

    # Keys.

    def press(self, key: str, model: Model) -> str:
        """Do what the key is for; returns what it asks of others, or ""."""
        if self.typing:
            self._type(key, model)
            return ""
        if key in ("q", "f10"):
            return QUIT
        if key in ("?", "h", "f1"):
            self.mode, self.top = (TABLE if self.mode == HELP else HELP), 0
        elif key in ("p", " "):
            if self._freezes:
                self.frozen = None if self.frozen else model.copy()
            return PAUSE
        elif key in _ASKED:
            return _ASKED[key]
        elif key in ("tab", "back-tab"):
            self._switch((self.number + (1 if key == "tab" else -1)) % len(VIEWS))
        elif len(key) == 1 and "1" <= key <= str(len(VIEWS)):
            self._switch(int(key) - 1)
        elif self.mode == TABLE:
            self._table_key(key, model)
        elif key in ("escape", "enter", "left", "backspace"):
            self.mode = TABLE
        elif key in _MOVES:
            self._scroll(key)
        return ""

    def _switch(self, number: int) -> None:
        self.number, self.mode, self.top = number, TABLE, 0

    def _type(self, key: str, model: Model) -> None:
        state = self.state
        if key == "enter":
            self.typing = False
        elif key == "escape":
            self.typing, state.filter = False, ""
        elif key == "backspace":
            state.filter = state.filter[:-1]
        elif key == "clear":
            state.filter = ""
        elif key == "clear-word":
            state.filter = state.filter.rstrip().rpartition(" ")[0]
        elif len(key) == 1 and len(state.filter) < LONGEST_FILTER:
            state.filter += key.lower()
        elif key in ("up", "down", "page-up", "page-down"):
            self._move(key, model)

    def _table_key(self, key: str, model: Model) -> None:
        state = self.state
        if key in ("/", "f4", "\\"):
            self.typing = True
        elif key == "escape":
            state.filter = ""
        elif key in ("<", ">", "f6"):
            self._sort(-1 if key == "<" else 1)
        elif key == "I":
            state.inverted = not state.inverted
        elif key in ("enter", "right"):
            _, rows = self._match(model)
            if rows:
                self.mode, self.top, self.row = DETAIL, 0, rows[self._find(rows)]
        elif key in _MOVES:
            self._move(key, model)

    def _sort(self, step: int) -> None:
        """By the next column that is on the screen; rows that come in an order of their own have that as well."""
        state = self.state
        numbers = [self.view.columns.index(column) for column, _ in self.columns(self._width)]
        if self.view.sort < 0:
            numbers.insert(0, -1)
        at = numbers.index(state.sort) if state.sort in numbers else 0
        state.sort, state.inverted = numbers[(at + step) % len(numbers)], False

    def _move(self, key: str, model: Model) -> None:
        state = self.state
        _, rows = self._match(model)
        if not rows:
            return
        at = self._find(rows)
        where, line = _MOVES[key], state.line
        if where in ("first", "last"):
            target = 0 if where == "first" else len(rows) - 1
            line = 0 if where == "first" else self._page - 1
        else:
            count = self._page if where.startswith("page") else 1
            target = at - count if where.endswith("up") else at + count
            target = max(0, min(target, len(rows) - 1))
            if count == 1:
                line += target - at
        state.line = max(0, min(line, self._page - 1))
        # The first row is followed, whichever it is. Any other one keeps its place on the screen.
        state.cursor = rows[target].key if target else None

    def _scroll(self, key: str) -> None:
        where = _MOVES[key]
        if where == "first":
            self.top = 0
        elif where == "last":
            self.top = 1 << 30  # whoever draws knows how many lines there are
        else:
            count = self._page if where.startswith("page") else 1
            self.top = max(0, self.top + (-count if where.endswith("up") else count))


_ASKED = {"redraw": REDRAW, "S": PICTURE, "+": FASTER, "=": FASTER, "-": SLOWER}
_MOVES = {
    "up": "up", "k": "up", "down": "down", "j": "down", "page-up": "page up", "page-down": "page down",
    "home": "first", "g": "first", "end": "last", "G": "last",
}  # fmt: skip
