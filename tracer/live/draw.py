# SPDX-License-Identifier: MIT
"""From the state to what is on the screen: lines of cells, as renderables of rich.

A line has cells with a text each, which is clean already and as wide as its cell. `Changes` draws only the lines that
are not what they were. Terminals do not agree on the width of every character, so where a cell holds more than ASCII,
the next one says in which column it begins: no cell moves another one.
"""

from __future__ import annotations

from functools import lru_cache
from textwrap import wrap as fold
from typing import TYPE_CHECKING, NamedTuple

from rich.segment import ControlType, Segment
from rich.style import Style

from tracer.live.browser import DETAIL, HELP, HELP_ROWS, Browser
from tracer.live.text import clean, fit, width_of, wrap
from tracer.options import VIEWS as VIEW_NAMES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console, ConsoleOptions, RenderResult

    from tracer.live.state import Model
    from tracer.live.views import Column

Cell = tuple[str, str]
Line = tuple[Cell, ...]

HEAD, CHOSEN, BAR, BAD, KEY = "bold", "reverse", "reverse", "bold white on red", "bold"
BLOCKS, ASCII_BLOCKS = "▁▂▃▄▅▆▇█", "_.,-=+*#"
LOWEST_WITH_ALL = 8

# A terminal that is wider or higher gets no more than this.
HINTS = (
    "? help", "/ filter", "<> sort", "I invert", "Space pause", "Enter detail", "q quit",
)  # fmt: skip


class Status(NamedTuple):
    """What the head says.

    Attributes:
        up_s: how long the trace has lasted.
        rate: events in the last second.
        share: of connections with a post-quantum key exchange, 0 to 1; None if there was none to judge.
        history: events of each second so far, the last ones at the end.
        notes: what else is to be known: that it is paused, how fast a replay is.
        unicode: whether the terminal shows more than ASCII.
    """

    host: str
    kernel: str
    up_s: float
    rate: int
    lost: int
    share: float | None
    history: tuple[int, ...]
    notes: tuple[str, ...] = ()
    unicode: bool = True


class Frame:
    """A screen full of lines, each as wide as the screen."""

    def __init__(self, width: int, lines: tuple[Line, ...]) -> None:
        self.width = width
        self.lines = lines

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Called by rich."""
        for line in self.lines:
            for text, style in line:
                yield Segment(text, _style(style))
            yield Segment.line()


class Changes:
    """What makes a screen that shows one frame show another."""

    def __init__(self, frame: Frame, before: Frame | None) -> None:
        self._frame = frame
        same_width = before is not None and before.width == frame.width
        self._before = before.lines if before and same_width else ()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Called by rich."""
        before = self._before
        for number, line in enumerate(self._frame.lines):
            if number < len(before) and before[number] == line:
                continue
            yield _move(number)
            yield from _line(line)


def _line(line: Line) -> Iterator[Segment]:
    at, plain = 0, all(text.isascii() for text, _ in line)
    if not plain:
        yield _ERASE
    sure = True
    for text, style in line:
        if not sure:
            yield _column(at)
        yield Segment(text, _style(style))
        sure = plain or text.isascii()
        at += len(text) if sure else width_of(text)


_style = lru_cache(maxsize=256)(Style.parse)
_ERASE = Segment("\x1b[2K", None, ((ControlType.ERASE_IN_LINE, 2),))


@lru_cache(maxsize=512)
def _move(number: int) -> Segment:
    return Segment(f"\x1b[{number + 1};1H", None, ((ControlType.CURSOR_MOVE_TO, 0, number),))


@lru_cache(maxsize=1024)
def _column(at: int) -> Segment:
    return Segment(f"\x1b[{at + 1}G", None, ((ControlType.CURSOR_MOVE_TO_COLUMN, at),))


def draw(browser: Browser, model: Model, status: Status, width: int, height: int) -> Frame:
    """The screen as it should be now."""
    shown = browser.frozen or model
    lines = [*_head(status, width)] if height >= LOWEST_WITH_ALL else []
    if height >= LOWEST_WITH_ALL:
        lines.append(_tabs(browser, width))
    room = height - len(lines) - 1
    if browser.mode == HELP:
        body, foot = _scrolled(browser, _help(width), room), "Esc back"
    elif browser.mode == DETAIL:
        body, foot = _scrolled(browser, _detail(browser, width), room), "Esc back, up and down scroll"
    else:
        lines.append(_titles(browser, width, unicode=status.unicode))
        body, foot = _table(browser, shown, width, room - 1)
    lines += body
    lines += [_text("", width)] * (height - 1 - len(lines))
    lines.append(_foot(browser, foot, width))
    return Frame(width, tuple(lines[:height]))


def _text(text: str, width: int, style: str = "") -> Line:
    return ((fit(text, width), style),)


def _flow(parts: list[Cell], width: int) -> Line:
    """Cells one behind the other, cut where the screen ends, and padded."""
    cells: list[Cell] = []
    for text, style in parts:
        size = min(width_of(text), width)
        if size:
            cells.append((fit(text, size), style))
            width -= size
    if width:
        cells.append((" " * width, ""))
    return tuple(cells)


def duration(seconds: float) -> str:
    """``0:12:34``."""
    whole = int(max(seconds, 0))
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def sparkline(values: tuple[int, ...], width: int, *, unicode: bool = True) -> str:
    """The last values as bars, one cell each."""
    if width < 1:
        return ""
    values = values[-width:]
    highest = max(values, default=0) or 1
    blocks = BLOCKS if unicode else ASCII_BLOCKS
    return "".join(blocks[-(-value * (len(blocks) - 1) // highest)] for value in values)


def _head(status: Status, width: int) -> tuple[Line, Line]:
    host, kernel = clean(status.host), clean(status.kernel)
    room = max(width // 3, 8)
    first: list[Cell] = [(" ", ""), (host if width_of(host) <= room else fit(host, room), HEAD)]
    first.append((f"  up {duration(status.up_s)} ", ""))
    first += [(f" {clean(note)} ", BAR) for note in status.notes]
    first.append((f" {kernel} ", ""))
    share = "-" if status.share is None else f"{status.share:.0%}"
    second: list[Cell] = [
        (f" {status.rate:,} events/s ", ""),
        (f" {status.lost:,} lost ", BAD if status.lost else ""),
        (f" {share} post-quantum ", ""),
        (" ", ""),
    ]
    left = width - sum(len(text) for text, _ in second) - 1
    second.append((sparkline(status.history, min(left, 120), unicode=status.unicode), ""))
    return _flow(first, width), _flow(second, width)


def _tabs(browser: Browser, width: int) -> Line:
    titles = [name.capitalize() for name in VIEW_NAMES]
    if sum(len(title) + 3 for title in titles) > width:
        titles = [title if number == browser.number else title[:4] for number, title in enumerate(titles)]
    parts: list[Cell] = []
    for number, title in enumerate(titles):
        chosen = number == browser.number
        parts += [(f" {number + 1}", BAR if chosen else KEY), (f" {title}" + " " * chosen, BAR if chosen else "")]
    return _flow(parts, width)


def _titles(browser: Browser, width: int, *, unicode: bool) -> Line:
    cells: list[Cell] = []
    state = browser.state
    sorted_by = browser.view.columns[state.sort] if state.sort >= 0 else None
    for column, size in browser.columns(width):
        title = column.title
        if column is sorted_by:
            down = column.down is not state.inverted
            mark = ("▼" if down else "▲") if unicode else ("v" if down else "^")
            title = title[: max(size - 1, 0)] + mark
        cells.append((fit(title, size, column.align), "bold underline"))
        cells.append((" ", ""))
    return _flow(cells[:-1], width)


def _table(browser: Browser, model: Model, width: int, height: int) -> tuple[list[Line], str]:
    visible = browser.look(model, width, height)
    columns = browser.columns(width)
    lines = [_row(columns, row, number == visible.chosen, width) for number, row in enumerate(visible.rows)]
    if not visible.rows:
        text = f"nothing has `{browser.state.filter}` in it" if visible.total else browser.view.empty
        lines = [_text("", width), _text(f"  {text}", width)][:height]
    place = f"{visible.at + 1 if visible.rows else 0}/{visible.matching:,}"
    if visible.matching != visible.total:
        place += f" of {visible.total:,}"
    return lines, place


def _row(columns: tuple[tuple[Column, int], ...], row: object, chosen: bool, width: int) -> Line:
    cells: list[Cell] = []
    back = CHOSEN if chosen else ""
    for column, size in columns:
        if column.badge:
            letter, style = column.badge(row)
            cells += [(letter, style or back), (" ", back)]
            continue
        style = back or (column.style(row) if column.style else "")
        cells += [(fit(column.text(row), size, column.align, column.keep(row)), style), (" ", back)]
    cells.pop()
    rest = width - sum(size + 1 for _, size in columns) + 1
    if rest > 0:
        cells.append((" " * rest, back))
    return tuple(_joined(cells)) if rest >= 0 else _flow(cells, width)


def _joined(cells: list[Cell]) -> Iterator[Cell]:
    """Neighbours of one style as one, as long as they are ASCII: fewer pieces are less work."""
    text, style = cells[0]
    for more, other in cells[1:]:
        if other == style and text.isascii():
            text += more
        else:
            yield text, style
            text, style = more, other
    yield text, style


def _foot(browser: Browser, place: str, width: int) -> Line:
    state = browser.state
    if browser.typing:
        parts: list[Cell] = [("/", KEY), (clean(state.filter), ""), (" ", CHOSEN), (f"  {place}", "")]
        return _flow(parts, width)
    if browser.mode in (DETAIL, HELP):
        return _flow([(f" {place}", KEY)], width)
    parts = [(f" {place} ", KEY)]
    if state.filter:
        parts.append((f" filter: {clean(state.filter)} ", BAR))
    left = width - sum(width_of(text) for text, _ in parts)
    for hint in HINTS:
        left -= len(hint) + 2
        if left >= 0:
            parts.append((f"  {hint}", ""))
    return _flow(parts, width)


def _help(width: int) -> list[Line]:
    lines = [_text("", width)]
    for keys, text in HELP_ROWS:
        for number, piece in enumerate(fold(text, max(width - 19, 1))):
            lines.append(_flow([(f"  {'' if number else keys:<16}", KEY), (f" {piece}", "")], width))
    return lines


def _detail(browser: Browser, width: int) -> list[Line]:
    lines: list[Line] = []
    size = min(22, width // 3)
    for name, value in browser.view.detail(browser.row):
        if isinstance(value, (list, tuple)):
            value = ", ".join(map(str, value))  # noqa: PLW2901
        text = "-" if value is None else "yes" if value is True else "no" if value is False else str(value)
        for number, piece in enumerate(wrap(text, max(width - size - 1, 1))):
            label = fit(name if not number else "", size, "right")
            lines.append(_flow([(label, KEY), (" ", ""), (piece, "")], width))
    return lines


def _scrolled(browser: Browser, lines: list[Line], height: int) -> list[Line]:
    browser.top = max(0, min(browser.top, len(lines) - height))
    return lines[browser.top : browser.top + height]


__all__ = ["Changes", "Frame", "Status", "draw", "duration", "sparkline"]
