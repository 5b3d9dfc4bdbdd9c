"""The looks of all pictures: colours for light and dark, styles of text, and the style sheet made of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

Colour = Literal["ink", "muted", "blue", "green", "amber", "red", "violet"]
"""Blue: a Service; green: an endpoint that is ready, an answer; amber: a mark, what is about to end; red: refused,
not ready, lost; violet: addresses rewritten."""

ARROWS: tuple[Colour, ...] = ("ink", "muted", "blue", "green", "amber", "red", "violet")
ELLIPSIS = "…"

COLOURS: Mapping[str, tuple[str, str]] = {
    "ground": ("#ffffff", "#0f141b"),
    "surface": ("#f6f8fa", "#171e28"),
    "raised": ("#ffffff", "#1f2835"),
    "line": ("#c8d0da", "#3a4657"),
    "ink": ("#1b2430", "#e6ebf2"),
    "muted": ("#566273", "#9aa7b8"),
    "blue": ("#1d5fd1", "#82b1ff"),
    "green": ("#18794e", "#65cf99"),
    "amber": ("#945700", "#efb458"),
    "red": ("#c22a30", "#ff8e8e"),
    "violet": ("#6a41c2", "#bea3ff"),
    "tint-blue": ("#e9f1ff", "#16294a"),
    "tint-green": ("#e7f6ed", "#12301f"),
    "tint-amber": ("#fdf2dd", "#38290d"),
    "tint-red": ("#fdebeb", "#40191c"),
    "tint-violet": ("#f1ebfc", "#2a2148"),
}
"""Each colour on light ground and on dark; on ground, surface and its tint text has a contrast of 4.5 : 1 (WCAG AA)."""

SANS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"
MONO = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"


@dataclass(frozen=True, slots=True)
class Style:
    """One style of text: its size in pixels, and its looks."""

    size: float
    colour: Colour = "ink"
    mono: bool = False
    bold: bool = False


STYLES: Mapping[str, Style] = {
    "title": Style(20, bold=True),
    "subtitle": Style(13, "muted"),
    "heading": Style(14, bold=True),
    "name": Style(13, bold=True),
    "words": Style(13),
    "note": Style(12, "muted"),
    "small": Style(11, "muted"),
    "code": Style(12, mono=True),
    "address": Style(12, "muted", mono=True),
    "count": Style(12, mono=True, bold=True),
}
"""The classes of text, by name."""

# `raised` and the tints are boxes, `rim-*` those with a coloured border, `way-*` lines, `ink-*` and `fill-*` colours.
_BOXES = """
.ground{fill:var(--ground)}
.surface{fill:var(--surface);stroke:var(--line)}
.raised{fill:var(--raised);stroke:var(--line)}
.plain{fill:none;stroke:var(--line)}
.wire{fill:var(--line)}
.dashed{stroke-dasharray:6 4}
.dotted{stroke-dasharray:2 4}
.thick{stroke-width:2.5}
.ink-ground{fill:var(--ground)}
.cross{fill:none;stroke:var(--ground);stroke-width:2.5}
"""
_HUES = """
.ink-HUE{fill:var(--HUE)}
.fill-HUE{fill:var(--HUE)}
.way-HUE{fill:none;stroke:var(--HUE);stroke-width:1.5}
.rim-HUE{fill:var(--raised);stroke:var(--HUE)}
"""
_TINTS = ".tint-HUE{fill:var(--tint-HUE);stroke:var(--HUE)}\n"
_VARIABLE = re.compile(r"([a-z-]+):var\(--([a-z-]+)\)")


@cache
def sheet() -> str:
    """Return the style sheet of an SVG: custom properties, and for viewers that know none (librsvg) the light colours.

    It has none of the letters that XML or HTML would want escaped.
    """
    text = "".join(f".{name}{{{_font(style)}}}\n" for name, style in STYLES.items())
    hues = "".join(_HUES.replace("HUE", hue) for hue in ARROWS)
    tints = "".join(_TINTS.replace("HUE", name.removeprefix("tint-")) for name in COLOURS if name.startswith("tint-"))
    rules = plain(text + hues + tints + _BOXES)
    return f"{variables()}\ntext{{white-space:pre}}\n{rules}"


def variables(scope: str = ".picture") -> str:
    """Return the custom properties of all colours, light ones and, where the reader's side is dark, dark ones."""
    light, dark = ("".join(f"--{name}:{pair[side]};" for name, pair in COLOURS.items()).rstrip(";") for side in (0, 1))
    return f"{scope}{{{light}}}\n@media (prefers-color-scheme:dark){{{scope}{{{dark}}}}}"


def plain(css: str) -> str:
    """Return a style sheet whose every `fill:var(--ink)` has the light colour before it, for who knows no variables."""
    return _VARIABLE.sub(lambda found: f"{found[1]}:{COLOURS[found[2]][0]};{found[0]}", css)


def _font(style: Style) -> str:
    """Return the declarations of a style of text."""
    weight = "600" if style.bold else "400"
    return f"font:{weight} {style.size:g}px {MONO if style.mono else SANS};fill:var(--{style.colour})"
