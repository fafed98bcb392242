"""The screen as a picture."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.tracer.live.finished import hostile, some
from tracer.errors import OutputError
from tracer.live.browser import Browser
from tracer.live.draw import Status, draw
from tracer.live.state import Model
from tracer.live.svg import picture, write_picture

STATUS = Status("host", "6.18.0", 1.0, 2, 0, None, (1, 2))


def frame_of(events, view="events", size=(100, 30)):
    model = Model()
    for each in events:
        model.take(each)
    return draw(Browser(view), model, STATUS, *size)


def words(svg):
    return "".join(ET.fromstring(svg).itertext()).replace("\xa0", " ")


def test_picture_has_what_is_on_the_screen():
    """As text, without a font or anything else from the network."""
    svg = picture(frame_of(some()), 100)
    assert svg.isascii()
    assert "/etc/ssl/private/site.key" in words(svg)
    assert "crypto-tracer top" in words(svg)
    assert "url(http" not in svg
    assert "@import" not in svg


@settings(max_examples=50, deadline=None)
@given(
    st.text(st.characters(), max_size=30) | st.sampled_from(["<script>", "]]>", "&amp;", "\x00\x1b", "\ufffe\udcff"])
)
def test_picture_is_sound_whatever_the_names_are(text):
    """XML that can be read, with no element that is not rich's."""
    svg = picture(frame_of(hostile(text), size=(60, 12)), 60)
    names = {element.tag.rpartition("}")[2] for element in ET.fromstring(svg).iter()}
    assert names <= {"svg", "style", "defs", "clipPath", "rect", "text", "g", "circle"}
    assert len(svg) < 60_000


def test_picture_replaces_its_file_as_a_whole(tmp_path):
    """And says what hinders it."""
    path = tmp_path / "a.svg"
    path.write_text("old")
    write_picture(str(path), frame_of(some()), 100)
    ET.parse(path)
    with pytest.raises(OutputError, match="cannot open"):
        write_picture(str(tmp_path / "missing" / "a.svg"), frame_of(some()), 100)
