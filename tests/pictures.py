"""What is wrong with a picture, found without looking at it: where its words and boxes are, and what they run into."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from xml.etree import ElementTree as ET

from lab.picture import svg
from lab.picture.theme import STYLES

SVG = "{http://www.w3.org/2000/svg}"
_SLACK = 0.5  # pixels: what is beside each other may touch
_ASCENT, _DESCENT = 0.75, 0.2  # of a letter above and below its base line, in its size


@dataclass(frozen=True, slots=True)
class Thing:
    """A text or a box of a picture, and where it is."""

    what: str
    box: svg.Box


def faults(picture: str) -> list[str]:
    """Return what is wrong with an SVG: words over words, over a box's edge, off the canvas, or in no known style.

    Raises `ET.ParseError` if it is no XML.
    """
    root = ET.fromstring(picture)
    canvas = svg.Box(0, 0, float(root.attrib["width"]), float(root.attrib["height"]))
    texts = [thing for thing in things(root) if thing.what.startswith("text")]
    boxes = [thing for thing in things(root) if thing.what.startswith("rect")]
    found = [f"{one.what} leaves the canvas" for one in (*texts, *boxes) if not _within(one.box, canvas)]
    found += [
        f"{one.what} lies over {other.what}" for one, other in combinations(texts, 2) if _meet(one.box, other.box)
    ]
    edges = [box for box in boxes if "astride" in box.what]  # stand on another's edge, and cover what is under them
    free = [one for one in texts if not any(_within(one.box, box.box) for box in edges)]
    found += [f"{one.what} crosses {box.what}" for one in free for box in boxes if _cross(one.box, box.box)]
    plain = [box for box in boxes if box not in edges]
    return found + [f"{one.what} crosses {box.what}" for one, box in combinations(plain, 2) if _cross(one.box, box.box)]


def things(root: ET.Element, x: float = 0, y: float = 0) -> Iterator[Thing]:
    """Yield the texts and boxes in an element, `x` and `y` pixels from the canvas' corner."""
    if root.tag in (f"{SVG}defs", f"{SVG}style", f"{SVG}title"):
        return
    if moved := re.fullmatch(r"translate\(([-\d.]+)[ ,]([-\d.]+)\)", root.attrib.get("transform", "")):
        x, y = x + float(moved[1]), y + float(moved[2])
    else:
        assert "transform" not in root.attrib, f"what is {root.attrib['transform']}?"
    if root.tag == f"{SVG}text":
        yield _text(root, x, y)
    elif root.tag == f"{SVG}rect" and root.attrib.get("class") != "ground":
        at = [float(root.attrib.get(name, 0)) for name in ("x", "y", "width", "height")]
        yield Thing(f"rect {root.attrib.get('class', '')} at {at}", svg.Box(x + at[0], y + at[1], *at[2:]))
    for child in root:
        yield from things(child, x, y)


def _text(one: ET.Element, x: float, y: float) -> Thing:
    words = "".join(one.itertext())
    style = next((name for name in one.attrib.get("class", "").split() if name in STYLES), "")
    assert style, f"{words!r} has none of the theme's styles"
    wide, size = svg.width(words, style), STYLES[style].size
    left = {"start": 0.0, "middle": wide / 2, "end": wide}[one.attrib.get("text-anchor", "start")]
    top = y + float(one.attrib["y"]) - size * _ASCENT
    box = svg.Box(x + float(one.attrib["x"]) - left, top, wide, size * (_ASCENT + _DESCENT))
    return Thing(f"text {words!r}", box)


def _within(one: svg.Box, other: svg.Box) -> bool:
    """Return whether a box is in another."""
    return (
        one.x >= other.x - _SLACK
        and one.y >= other.y - _SLACK
        and one.right <= other.right + _SLACK
        and one.bottom <= other.bottom + _SLACK
    )


def _meet(one: svg.Box, other: svg.Box) -> bool:
    """Return whether two boxes have a part in common."""
    return (
        min(one.right, other.right) - max(one.x, other.x) > _SLACK
        and min(one.bottom, other.bottom) - max(one.y, other.y) > _SLACK
    )


def _cross(one: svg.Box, other: svg.Box) -> bool:
    """Return whether two boxes meet, and neither holds the other."""
    return _meet(one, other) and not _within(one, other) and not _within(other, one)


_NODE = re.compile(r'(?P<id>[a-z]\w*)\["(?P<words>[^"]*)"\](:::(?P<kind>\w+))?')
_ARROW = re.compile(r'(?P<start>[a-z]\w*) (-->|==>|-\.->|-\.-x|---)(\|"(?P<words>[^"]*)"\|)? (?P<end>[a-z]\w*)')
_SUBGRAPH = re.compile(r'subgraph (?P<id>[a-z]\w*)\["(?P<words>[^"]*)"\]')
_CLASS = re.compile(r"classDef (?P<kind>\w+) [\w:#,. -]+")
_SAFE = re.compile(r"([^\"#&<>`\\%;*_\[\]{}|~]|#\d+;|<br/>)*")
_WORDS_OF_MERMAID = {"end", "subgraph", "graph", "flowchart", "class", "click", "style", "default", "direction"}


def mermaid_faults(text: str) -> list[str]:
    """Return what is wrong with a flowchart: lines of no known form, names twice or nowhere, words that are syntax."""
    first, *lines = text.rstrip("\n").split("\n")
    found = [] if first == "flowchart LR" else [f"it begins with {first!r}"]
    boxes, ends, kinds, classes, depth = list[str](), set[str](), set[str](), set[str](), 0
    for line in (one.strip() for one in lines):
        one = next((hit for form in (_SUBGRAPH, _NODE, _ARROW, _CLASS) if (hit := form.fullmatch(line))), None)
        parts = one.groupdict() if one else {}
        depth += 1 if line.startswith("subgraph ") else -1 if line == "end" else 0
        found += [f"{line!r} is no line of a flowchart"] if one is None and line not in {"end", "direction LR"} else []
        found += [f"{line!r} has words that are syntax"] if not _SAFE.fullmatch(parts.get("words") or "") else []
        boxes += [parts["id"]] if "id" in parts else []
        ends |= {parts["start"], parts["end"]} if "start" in parts else set()
        (classes if line.startswith("classDef") else kinds).update({parts["kind"]} if parts.get("kind") else ())
    found += [f"{one} is there twice" for one in {one for one in boxes if boxes.count(one) > 1}]
    found += [f"{one} is no box" for one in ends - {*boxes}] + [f"{one} has no class" for one in kinds - classes]
    found += [f"{one} is a word of mermaid's" for one in _WORDS_OF_MERMAID & {*boxes}]
    return found + ([f"{depth} subgraphs have no end"] if depth else [])
