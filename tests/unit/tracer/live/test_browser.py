"""Keys, and what they change."""

from __future__ import annotations

import pytest

from tests.unit.tracer.live.finished import event, some
from tracer.live import browser as b
from tracer.live.browser import Browser
from tracer.live.state import Model
from tracer.options import VIEWS


@pytest.fixture
def model():
    found = Model()
    for each in some():
        found.take(each)
    return found


def press(browser, model, *keys):
    """Press them; the table is looked at in between, as it is on a screen."""
    asked = []
    for key in keys:
        asked.append(browser.press(key, model))
        look(browser, model)
    return asked


def look(browser, model, height=5):
    return browser.look(model, 100, height)


def names(browser, model, height=20):
    """Of the processes of the rows."""
    return [row.event.fields["comm"] for row in look(browser, model, height).rows]


def chosen(browser, model, height=5):
    visible = look(browser, model, height)
    return visible.rows[visible.chosen].key


def test_one_key_shows_each_view(model):
    """Digits, or Tab through all of them."""
    browser = Browser()
    for number in range(len(VIEWS)):
        press(browser, model, str(number + 1))
        assert browser.number == number
    press(browser, model, "tab")
    assert browser.number == 0
    press(browser, model, "back-tab")
    assert browser.number == len(VIEWS) - 1
    press(browser, model, "9", "0")
    assert browser.number == len(VIEWS) - 1


def test_events_are_newest_first(model):
    """And the other way round, inverted."""
    browser = Browser()
    assert [row.key for row in look(browser, model).rows] == [12, 11, 10, 9, 8]
    press(browser, model, "I")
    assert [row.key for row in look(browser, model).rows] == [1, 2, 3, 4, 5]


def test_rows_are_sorted_by_the_column_that_is_chosen(model):
    """Numbers from the highest at first, names from A; F6 and > go to the right, < to the left."""
    browser = Browser("processes")
    assert names(browser, model)[0] == "nginx"  # by the number of events
    press(browser, model, "<", "<")  # past the user, to the name
    assert browser.view.columns[browser.state.sort].title == "PROCESS"
    assert names(browser, model) == sorted(names(browser, model))
    press(browser, model, "I")
    assert names(browser, model) == sorted(names(browser, model), reverse=True)
    press(browser, model, "f6", ">")
    assert browser.view.columns[browser.state.sort].title == "EVENTS"
    assert names(browser, model)[0] == "nginx"


def test_sort_goes_round_all_columns_that_are_on_the_screen(model):
    """And comes back; events have an order of their own as well."""
    browser = Browser()
    seen = []
    for _ in range(len(browser.columns(100)) + 1):
        seen.append(browser.state.sort)
        press(browser, model, ">")
    assert browser.state.sort == seen[0] == -1
    assert len(set(seen)) == len(seen)


def test_filter_works_as_it_is_typed(model):
    """In any case, over all texts of a row. Esc drops it, Enter keeps it."""
    browser = Browser()
    assert press(browser, model, "/", "S", "i", "T", "e", ".", "q") == [""] * 7  # q is a letter here
    assert look(browser, model).matching == 0
    press(browser, model, "backspace", "backspace")
    visible = look(browser, model)
    assert (visible.matching, visible.total, browser.typing) == (2, 12, True)
    press(browser, model, "enter")
    assert (browser.typing, browser.state.filter) == (False, "site")
    press(browser, model, "2")
    assert look(browser, model).matching == look(browser, model).total  # each view has its own
    press(browser, model, "1", "escape")
    assert (browser.state.filter, look(browser, model).matching) == ("", 12)
    press(browser, model, "f4", *"one two", "clear-word")
    assert browser.state.filter == "one"
    press(browser, model, "clear")
    assert browser.state.filter == ""
    press(browser, model, *"x" * 1000)
    assert len(browser.state.filter) == b.LONGEST_FILTER


def test_chosen_row_keeps_its_place_while_others_come(model):
    """At the top the newest one is followed; anywhere else the row stays where it is."""
    browser = Browser()
    model.take(event("file_open"))
    assert chosen(browser, model) == 13
    press(browser, model, "down", "down")
    assert chosen(browser, model) == 11
    for _ in range(4):
        model.take(event("file_open"))
    visible = look(browser, model)
    assert (visible.rows[visible.chosen].key, visible.chosen) == (11, 2)
    press(browser, model, "home")
    model.take(event("file_open"))
    assert chosen(browser, model) == 18


def test_chosen_row_that_is_gone_gives_way_to_the_first(model):
    """As when there are too many."""
    browser = Browser()
    press(browser, model, "end")
    assert chosen(browser, model) == 1
    model.events.pop()
    assert chosen(browser, model) == 12


def test_pages_and_ends(model):
    """Also in a table that is shorter than a page."""
    browser = Browser()
    look(browser, model)
    press(browser, model, "page-down")
    assert chosen(browser, model) == 7
    press(browser, model, "page-down", "page-down", "page-down")
    assert chosen(browser, model) == 1
    assert [row.key for row in look(browser, model).rows] == [5, 4, 3, 2, 1]
    press(browser, model, "k")
    assert chosen(browser, model) == 2
    press(browser, model, "page-up", "page-up", "page-up")
    assert chosen(browser, model) == 12
    press(browser, model, "G", "j", "g")
    assert chosen(browser, model) == 12
    empty = Model()
    press(Browser(), empty, "down", "end", "enter", "page-up")


def test_resize_changes_no_state(model):
    """The row that is chosen is still there on a small screen, and on a large one."""
    browser = Browser()
    press(browser, model, "/", "e", "enter", ">", "end")
    before = chosen(browser, model)
    for height in (1, 3, 50, 5):
        visible = browser.look(model, 20 * height, height)
        assert visible.rows[visible.chosen].key == before
        assert 0 <= visible.chosen < height
    assert browser.state.filter == "e"


def test_pause_shows_what_was_there(model):
    """All of it, in each view; later it goes on."""
    browser = Browser()
    assert press(browser, model, "p") == [b.PAUSE]
    for each in some():
        model.take(each)
    assert look(browser, model).total == 12
    press(browser, model, "2")
    assert look(browser, model).rows[0].count == 5
    press(browser, model, " ", "1")
    assert look(browser, model).total == 24


def test_detail_of_a_row_and_back(model):
    """The row is the chosen one, also when others come."""
    browser = Browser()
    press(browser, model, "down", "enter")
    model.take(event("file_open"))
    assert (browser.mode, browser.row.key) == (b.DETAIL, 11)
    assert dict(browser.view.detail(browser.row))["event_type"] == "tls_handshake"
    press(browser, model, "down", "down", "up")
    assert browser.top == 1
    press(browser, model, "escape")
    assert browser.mode == b.TABLE
    for view in VIEWS:
        press(browser, model, str(VIEWS.index(view) + 1), "enter", "enter")


def test_help_and_what_others_do(model):
    """Quit, draw anew, picture, faster and slower are for the app."""
    browser = Browser()
    press(browser, model, "?")
    assert browser.mode == b.HELP
    press(browser, model, "escape")
    assert browser.mode == b.TABLE
    assert press(browser, model, "q", "f10", "redraw", "S", "+", "-") == [
        b.QUIT, b.QUIT, b.REDRAW, b.PICTURE, b.FASTER, b.SLOWER,
    ]  # fmt: skip
    assert press(browser, model, "x", "f9", "delete", "中") == [""] * 4
