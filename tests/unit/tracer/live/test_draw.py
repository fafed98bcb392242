"""What is on the screen, to the byte."""

from __future__ import annotations

import io
import os
import re
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from tests.support.sources import ROOT
from tests.unit.tracer.live.finished import event, hostile, one_of_each, some
from tracer.accounting import KindStats, Stats
from tracer.live import views
from tracer.live.browser import Browser
from tracer.live.columns import layout
from tracer.live.draw import Changes, Frame, Status, draw, duration, sparkline
from tracer.live.state import Model
from tracer.live.views import VIEWS
from tracer.loaded import ProbeState
from tracer.options import VIEWS as NAMES

FRAMES = Path(__file__).parent / "frames"
SIZES = ((60, 20), (100, 30), (200, 50))
STATUS = Status("host", "6.18.0", 3725.0, 1234, 0, 0.4, (0, 1, 5, 10, 3))

# All that a frame may send beside characters: colours, a place, a line that is erased.
ALLOWED = re.compile(r"\x1b\[(?:[0-9;]*m|[0-9]+;1H|[0-9]+G|2K)")


@pytest.fixture(autouse=True)
def _utc(monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    views._second.cache_clear()
    yield
    monkeypatch.undo()
    time.tzset()
    views._second.cache_clear()


def model_of(events):
    model = Model()
    for each in events:
        model.take(each)
    return model


@pytest.fixture
def model():
    found = model_of(some())
    states = [
        ProbeState("file_open", True, {"tracepoint": 2}, "", "", ()),
        ProbeState("x", False, {}, "no such hook", "", ()),
    ]
    found.tell(states, Stats(dropped=3, by_kind={"file_open": KindStats(10, 3, 1)}))
    found.messages.append("lost 3 events so far")
    return found


def render(screen, width, **options):
    """As a console of rich writes it."""
    file = io.StringIO()
    given = {"force_terminal": True, "color_system": "standard", "legacy_windows": False, "_environ": {}, **options}
    console = Console(file=file, width=width, height=50, record=True, **given)
    console.print(screen, soft_wrap=True, end="")
    return console, file.getvalue()


def texts(frame):
    """The lines of a frame, without colours."""
    return ["".join(text for text, _ in line) for line in frame.lines]


@pytest.mark.parametrize("view", NAMES)
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_frame_is_what_it_was(model, view, width, height):
    """Byte by byte, with all colours. TOP_FRAMES=write makes the files anew: then look at the difference."""
    console, _ = render(draw(Browser(view), model, STATUS, width, height), width)
    shown = console.export_text(styles=True)
    path = FRAMES / f"{view}-{width}.txt"
    if os.environ.get("TOP_FRAMES") == "write":
        path.write_text(shown)
    assert shown == path.read_text()


@pytest.mark.parametrize("mode", ["table", "filter", "detail", "help", "paused"])
@pytest.mark.parametrize("view", NAMES)
@pytest.mark.parametrize(("width", "height"), [(20, 4), (33, 7), *SIZES, (500, 200)])
def test_frame_fills_the_screen_exactly(model, view, mode, width, height):
    """Each line is as wide as the screen, and there are as many as it has."""
    browser = Browser(view)
    keys = {"filter": "/a", "detail": ["enter"], "help": "?", "paused": "p"}.get(mode, "")
    draw(browser, model, STATUS, width, height)
    for key in keys:
        browser.press(key, model)
    frame = draw(browser, model, STATUS._replace(notes=("a note", "x" * 300)), width, height)
    assert [cell_len(line) for line in texts(frame)] == [width] * height


@settings(max_examples=150, deadline=None)
@given(
    st.text(st.characters(), min_size=1, max_size=30)
    | st.text(st.sampled_from("[bold]/\\\x1b\x9b\x07\r\n\t中e\u0301\u202e\u2066\u200b\U0001f600\udcff"), min_size=1),
    st.sampled_from([(20, 5), (61, 20), (120, 30)]),
)
def test_text_from_outside_moves_nothing(text, size):
    """In any view, table or detail or filter: each line is as wide as before, and nothing is sent that is not ours."""
    model = model_of(hostile(text))
    model.messages.append(text)
    status = STATUS._replace(host=text, kernel=text, notes=(text,))
    for view in NAMES:
        browser = Browser(view)
        before = None
        for key in ("", "enter", "escape", "/", *text[:3], "enter"):
            browser.press(key, model)
            frame = draw(browser, model, status, *size)
            assert [cell_len(line) for line in texts(frame)] == [size[0]] * size[1]
            _, sent = render(Changes(frame, before), size[0])
            left = ALLOWED.sub("", sent)
            assert left.isprintable(), repr(left)
            before = frame


def test_markup_is_text(model):
    """Brackets are brackets."""
    model = model_of(hostile("[red]x[/red]"))
    assert any("[red]x[/red]" in line for line in texts(draw(Browser("files"), model, STATUS, 100, 20)))


def test_only_lines_that_changed_are_drawn(model):
    """Each at its place; nothing if nothing changed, everything if the width is another."""
    browser = Browser()
    frame = draw(browser, model, STATUS, 100, 20)
    _, everything = render(Changes(frame, None), 100)
    assert everything.count("H") >= 20
    assert render(Changes(frame, frame), 100)[1] == ""
    later = draw(browser, model, STATUS._replace(rate=99), 100, 20)
    _, sent = render(Changes(later, frame), 100)
    assert re.findall(r"\x1b\[(\d+);1H", sent) == ["2"]
    assert "99 events/s" in sent
    narrow = draw(browser, model, STATUS, 90, 20)
    assert len(re.findall(r"\x1b\[\d+;1H", render(Changes(narrow, frame), 90)[1])) == 20


def test_cell_behind_one_that_is_not_ascii_says_where_it_begins():
    """Terminals do not agree on the width of every character."""
    frame = Frame(10, ((("中中", ""), ("ab", "bold"), ("cd", ""), ("é", ""), ("f", "")),))
    _, sent = render(Changes(frame, None), 10)
    assert sent == "\x1b[1;1H\x1b[2K中中\x1b[5G\x1b[1mab\x1b[0mcdé\x1b[10Gf"


def test_without_colours_letters_tell(model):
    """NO_COLOR: bold and reverse are left, and each grade has its letter."""
    _, sent = render(draw(Browser("handshakes"), model, STATUS, 100, 20), 100, no_color=True)
    codes = {code for found in re.findall(r"\x1b\[([0-9;]*)m", sent) for code in found.split(";")}
    assert codes <= {"", "0", "1", "4", "7"}
    plain = re.sub(r"\x1b\[[0-9;]*m", "", sent)
    assert [line[0] for line in plain.split("\n")[4:9]] == list("BWQHS")


def test_colours_are_readable_on_light_and_dark_backgrounds():
    """Where a colour stands, so does the one behind it, or it is red."""
    from tracer.live.badges import FILE_TYPES, GRADES

    for badge in (*GRADES.values(), *FILE_TYPES.values()):
        assert badge.style == "reverse" or " on " in badge.style
    for table in (GRADES, FILE_TYPES):
        letters = [badge.letter for badge in table.values()]
        assert len(set(letters)) == len(letters)


def test_lost_events_are_red(model):
    """And only then."""
    lost = draw(Browser(), model, STATUS._replace(lost=3), 100, 20).lines[1]
    assert (" 3 lost ", "bold white on red") in lost
    assert (" 0 lost ", "") in draw(Browser(), model, STATUS, 100, 20).lines[1]


def test_small_screen_has_rows_all_the_same(model):
    """The head goes first."""
    shown = texts(draw(Browser(), model, STATUS, 40, 5))
    assert shown[0].startswith("PROCESS")
    assert len([line for line in shown if "client" in line]) == 3


@pytest.mark.parametrize("view", VIEWS, ids=NAMES)
@pytest.mark.parametrize("width", [1, 20, 59, 60, 61, 80, 100, 133, 200, 500])
def test_columns_fill_the_width(view, width):
    """Those that matter are always there, and what is left is shared out."""
    found = layout(view.columns, width)
    assert sum(size + 1 for _, size in found) - 1 <= width
    if width >= 60:
        assert sum(size + 1 for _, size in found) - 1 == width
        assert {column for column in view.columns if not column.rank} <= {column for column, _ in found}


def test_each_kind_of_event_can_be_shown_and_searched():
    """Also those that no view knows."""
    for each in one_of_each():
        entry = type("Entry", (), {"event": each, "search": "", "key": 1})
        for column in VIEWS[0].columns:
            assert isinstance(column.text(entry), str)
        assert views.search_text(VIEWS[0], entry) == entry.search.lower() != ""
        assert dict(VIEWS[0].detail(entry))["event_type"] == each.kind.name
    assert views.what(event("process_fork", child=77)) == "child=77"


def test_every_type_of_file_has_a_letter():
    """The catalog's, so that a new one is not forgotten."""
    from tracer.catalog import filetypes
    from tracer.live.badges import FILE_TYPES

    kinds = {*filetypes.SUFFIXES.values(), *filetypes.NAMES.values(), filetypes.OTHER}
    assert kinds <= set(FILE_TYPES)


def test_page_has_all_letters_and_keys():
    """As the code has them."""
    from tracer.live.badges import FILE_TYPES, GRADES
    from tracer.live.browser import HELP_ROWS

    page = (ROOT / "docs" / "top.md").read_text()
    missing = [name for table in (GRADES, FILE_TYPES) for name, each in table.items()
               if f"| {name} | `{each.letter}` |" not in page]  # fmt: skip
    assert missing == []
    keys = {key for row, _ in HELP_ROWS for key in re.split(r"[ ,]+(?:\.\. )?", row)}
    assert [key for key in keys if key not in page] == []


def test_sparkline_and_duration():
    """The highest is the full block; more values than cells show the last ones."""
    assert sparkline((0, 1, 4, 8), 4) == "▁▂▅█"
    assert sparkline(tuple(range(100)), 3) == "███"
    assert sparkline((0, 9), 5, unicode=False) == "_#"
    assert sparkline((), 5) == sparkline((1,), 0) == ""
    assert duration(3725.9) == "1:02:05"
    assert duration(-1) == "0:00:00"


@pytest.mark.parametrize("width", [30, 60, 120])
def test_help_has_all_its_words_on_narrow_terminals(model, width):
    """Wrapped, not cut."""
    browser = Browser(NAMES[0])
    browser.press("?", model)
    shown = " ".join(" ".join(texts(draw(browser, model, STATUS, width, 100))).split())
    assert "filter as you type; Enter keeps it, Esc drops it" in " ".join(shown.replace("/, F4", "").split())
