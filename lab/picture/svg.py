"""What every picture is drawn with: elements and their text, widths of words, boxes, arrows, the whole SVG.

A picture's text is text: it can be selected and searched. Nobody measures it where it is drawn, so it is measured here,
by the widest of the common fonts: there is room enough in every other. Source: https://www.w3.org/TR/SVG2/.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from lab.picture.theme import ARROWS, ELLIPSIS, STYLES, Colour, sheet

Attribute = str | float | None
Point = tuple[float, float]

_LEAVES = frozenset(
    {"br", "circle", "col", "hr", "input", "line", "meta", "path", "polygon", "polyline", "rect", "use"}
)
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"})


@dataclass(frozen=True, slots=True)
class Element:
    """An element of SVG or HTML: its name, its attributes, and what is in it."""

    tag: str
    attributes: tuple[tuple[str, Attribute], ...] = ()
    children: tuple[Element | str, ...] = ()


def element(tag: str, *children: Element | str, **attributes: Attribute) -> Element:
    """Return an element; None leaves an attribute out.

    `_` in an attribute's name is `-`, and one at its end says nothing (`class_`).
    """
    named = ((name.rstrip("_").replace("_", "-"), value) for name, value in attributes.items())
    return Element(tag, tuple((name, value) for name, value in named if value is not None), children)


def group(*children: Element | str, title: str = "", **attributes: Attribute) -> Element:
    """Return elements as one; `title` is what a viewer shows beside the pointer."""
    first = (element("title", title),) if title else ()
    return element("g", *first, *children, **attributes)


def escaped(text: str) -> str:
    """Return a text as XML and HTML have it; `?` for what cannot be seen, as control characters, which XML forbids."""
    if not text.isprintable():
        text = "".join(letter if _allowed(letter) else "?" for letter in text)
    return text.translate(_ESCAPES)


def _allowed(letter: str) -> bool:
    """Return whether a letter can be seen, or is one of the two blanks that XML keeps beside the space."""
    return letter.isprintable() or letter in "\t\n"


def render(one: Element | str) -> str:
    """Return an element as text that both XML and HTML readers take; groups stand on lines of their own."""
    if isinstance(one, str):
        return escaped(one)
    words = "".join(f' {name}="{escaped(number(value))}"' for name, value in one.attributes)
    if one.tag in _LEAVES:
        return f"<{one.tag}{words}/>"
    apart = "\n" if one.tag in {"svg", "g", "defs"} else ""  # blanks within text would be drawn
    inner = apart.join(render(child) for child in one.children)
    return f"<{one.tag}{words}>{apart}{inner}{apart if inner else ''}</{one.tag}>"


def number(value: Attribute) -> str:
    """Return an attribute's value: a number with at most one digit behind the point."""
    return f"{round(value, 1):g}" if isinstance(value, float) else str(value)


# Advances of DejaVu Sans (which has Verdana's) in thousandths of the size, each letter with the next wider ones.
_ADVANCES = (
    (295, "'ijlIJ"),
    (361, " ,.-/:;\\|f·"),
    (460, '!()[]rt"'),
    (550, "?*s_`cz"),
    (592, "kvxyLF"),
    (636, "0123456789$abdeghnopquETYSP{}"),
    (698, "ABCKVXZR"),
    (787, "DGHNOQU&"),
    (863, "#+<=>^~wM"),
    (1000, "%mW@…"),
)
_ADVANCE = {letter: advance / 1000 for advance, letters in _ADVANCES for letter in letters}
_OTHER = 0.84  # arrows, letters with accents
_WIDE = 1.0  # East Asian
_MONO = 0.602
_BOLD = 1.13
_ROUNDING = 0.1


def width(text: str, style: str) -> float:
    """Return how wide a text is at most, in pixels, in one of the theme's `STYLES`."""
    look = STYLES[style]
    if look.mono:
        ems = sum(0 if unicodedata.combining(one) else _MONO if one.isascii() else _WIDE for one in text)
    else:
        ems = sum(_ADVANCE.get(one, _WIDE if unicodedata.east_asian_width(one) in "WF" else _OTHER) for one in text)
    return ems * look.size * (_BOLD if look.bold and not look.mono else 1)


def fitted(text: str, style: str, room: float) -> str:
    """Return a text, or as much of its beginning as `room` pixels hold, and an ellipsis."""
    if width(text, style) <= room + _ROUNDING:
        return text
    while text and width(text + ELLIPSIS, style) > room:
        text = text[:-1]
    return text.rstrip() + ELLIPSIS


def clipped(text: str, style: str, room: float) -> str:
    """Return a text, or as many of its first words as `room` pixels hold, and an ellipsis: no number is cut."""
    if width(text, style) <= room + _ROUNDING:
        return text
    first, *rest = text.split(" ")
    kept = first
    for word in rest:
        if width(f"{kept} {word} {ELLIPSIS}", style) > room:
            break
        kept = f"{kept} {word}"
    return fitted(f"{kept} {ELLIPSIS}", style, room)


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle, in pixels; y grows downwards."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """The x of its right edge."""
        return self.x + self.width

    @property
    def bottom(self) -> float:
        """The y of its lower edge."""
        return self.y + self.height

    @property
    def middle(self) -> tuple[float, float]:
        """The x and y of its middle."""
        return self.x + self.width / 2, self.y + self.height / 2


def label(x: float, y: float, text: str, style: str, *, anchor: str = "start", colour: Colour | None = None) -> Element:
    """Return a text whose base line begins (`middle`, `end`: has its middle, ends) at x, y."""
    return element(
        "text",
        text,
        x=x,
        y=y,
        class_=f"{style} ink-{colour}" if colour else style,
        text_anchor=None if anchor == "start" else anchor,
    )


def panel(box: Box, kind: str, *, radius: float = 8) -> Element:
    """Return a box with round corners; `kind` names a class of the theme (`surface`, `tint-blue`, ...)."""
    return element("rect", x=box.x, y=box.y, width=box.width, height=box.height, rx=radius, class_=kind)


def curve(start: Point, end: Point, kind: str, *, arrow: Colour | None = None) -> Element:
    """Return a line that leaves `start` and reaches `end` level, as rivers do; `arrow`: with a head of that colour."""
    return curves([start, end], kind, arrow=arrow)


def curves(points: Sequence[Point], kind: str, *, arrow: Colour | None = None) -> Element:
    """Return a line that passes all points level; between two that are at one height it is straight."""
    words = [f"M{_spot(points[0])}"]
    for here, there in pairwise(points):
        bend = (there[0] - here[0]) / 2
        words.append(f"C{_spot((here[0] + bend, here[1]))} {_spot((there[0] - bend, there[1]))} {_spot(there)}")
    return _way(" ".join(words), kind, arrow)


def track(points: Sequence[Point], kind: str, *, arrow: Colour | None = None, radius: float = 8) -> Element:
    """Return a line through points, with round corners; `arrow`: with a head of that colour at its end."""
    words = [f"M{_spot(points[0])}"]
    for before, here, after in zip(points, points[1:], points[2:], strict=False):
        words.append(f"L{_spot(_toward(here, before, radius))} Q{_spot(here)} {_spot(_toward(here, after, radius))}")
    return _way(" ".join([*words, f"L{_spot(points[-1])}"]), kind, arrow)


def _way(words: str, kind: str, arrow: Colour | None) -> Element:
    return element("path", d=words, class_=kind, marker_end=f"url(#arrow-{arrow})" if arrow else None)


def _spot(point: Point) -> str:
    return f"{number(float(point[0]))},{number(float(point[1]))}"


def _toward(here: Point, there: Point, by: float) -> Point:
    """Return the point `by` pixels from here, or half way there if that is nearer."""
    across, down = there[0] - here[0], there[1] - here[1]
    length = (across**2 + down**2) ** 0.5
    part = min(by / length, 0.5) if length else 0
    return here[0] + across * part, here[1] + down * part


def picture(size: tuple[float, float], children: Iterable[Element], *, title: str, description: str) -> Element:
    """Return a whole SVG: of its width and height in pixels, with its theme; `description` is for who cannot see it."""
    wide, high = size
    return element(
        "svg",
        element("title", title),
        element("desc", description),
        element("style", sheet()),
        element("defs", *(_arrow(colour) for colour in ARROWS)),
        element("rect", width=wide, height=high, class_="ground"),
        *children,
        xmlns="http://www.w3.org/2000/svg",
        width=wide,
        height=high,
        viewBox=f"0 0 {number(float(wide))} {number(float(high))}",
        role="img",
        class_="picture",
    )


def _arrow(colour: Colour) -> Element:
    head = element("path", d="M0,0 L8,4 L0,8 z", class_=f"fill-{colour}")
    return element(
        "marker",
        head,
        id=f"arrow-{colour}",
        viewBox="0 0 8 8",
        refX=7,
        refY=4,
        markerWidth=7,
        markerHeight=7,
        orient="auto-start-reverse",
        markerUnits="userSpaceOnUse",
    )
