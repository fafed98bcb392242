# SPDX-License-Identifier: MIT
"""A screen as a picture: SVG, in ASCII, as large as the screen and no larger.

What is on the screen is clean already; rich escapes it for XML.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from rich.console import Console
from rich.terminal_theme import MONOKAI

from tracer.sinks.output import open_output

if TYPE_CHECKING:
    from rich.console import RenderableType

# rich's own template takes its font from the network; a picture should not.
SVG_FORMAT = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{
    font-family: "DejaVu Sans Mono", Menlo, Consolas, monospace;
    font-size: {char_height}px;
    line-height: {line_height}px;
    font-variant-east-asian: full-width;
}}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix" xml:space="preserve">
{matrix}
</g>
</g>
</svg>
"""


def picture(screen: RenderableType, width: int, title: str = "crypto-tracer top") -> str:
    """The SVG of a screen that is so many cells wide."""
    console = Console(
        record=True, width=width, file=io.StringIO(), force_terminal=True, color_system="standard", no_color=False,
        legacy_windows=False,
    )  # fmt: skip
    console.print(screen, soft_wrap=True, end="")
    svg = console.export_svg(
        title=title, theme=MONOKAI, code_format=SVG_FORMAT, font_aspect_ratio=0.602, unique_id="top"
    )
    return svg.encode("ascii", "xmlcharrefreplace").decode("ascii")


def write_picture(path: str, screen: RenderableType, width: int) -> None:
    """Write it, whole or not at all.

    Raises:
        OutputError: the file cannot be written.
    """
    with open_output(path, lambda: True, document=True) as output:
        output.write_text(picture(screen, width))
