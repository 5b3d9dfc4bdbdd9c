"""What pictures are drawn with: escaping, widths, colours, and the checker of pictures itself."""

from __future__ import annotations

import re
from itertools import pairwise
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.picture import html, svg, theme
from lab.picture.layers import Join, Size, layout
from tests import pictures
from tests.pictures import SVG

ANYTHING = st.text(st.characters(codec="utf-8") | st.sampled_from("<>&\"'\x00\x1b\u202e\ufffe]\n"), max_size=30)


def drawn(*children: svg.Element) -> str:
    return svg.render(svg.picture((200, 100), children, title="a", description="b"))


@given(ANYTHING)
def test_any_text_stays_text(text: str) -> None:
    root = ET.fromstring(drawn(svg.label(10, 20, text, "note"), svg.group(title=text, data_of=text)))
    (words,) = root.iter(f"{SVG}text")
    assert list(words) == []
    shown = "".join(one if one.isprintable() or one in "\t\n" else "?" for one in text)
    assert "".join(words.itertext()) == shown
    assert shown in {one.text or "" for one in root.iter(f"{SVG}title")} | {""}


@given(ANYTHING)
def test_no_text_leaves_its_place_in_a_page(text: str) -> None:
    page = html.page(text, svg.element("p", text))
    assert page.count("<script>") == page.count("</script>") == page.count("<p>") == page.count("</p>") == 1


def test_a_page_needs_nothing_from_elsewhere() -> None:
    page = html.page("a", svg.picture((1, 1), [], title="a", description="b"))
    assert set(re.findall(r"https?://[^\s\"<]+", page)) == {"http://www.w3.org/2000/svg"}
    assert "default-src 'none'" in page


def test_a_text_is_cut_where_its_room_ends() -> None:
    wide = svg.width("web-1.default.svc", "name")
    assert svg.fitted("web-1.default.svc", "name", wide) == "web-1.default.svc"
    cut = svg.fitted("web-1.default.svc", "name", wide - 1)
    assert (cut[-1], "web-1.default.svc".startswith(cut[:-1])) == ("…", True)
    assert svg.width(cut, "name") <= wide - 1


def test_a_text_that_is_clipped_keeps_whole_words_so_that_no_number_becomes_another() -> None:
    text = "not from 10.244.0.0/16, 10.96.0.10:80/tcp"
    wide = svg.width(text, "note")
    assert svg.clipped(text, "note", wide) == text
    assert svg.clipped(text, "note", wide - 1) == "not from 10.244.0.0/16, …"
    for room in range(int(wide)):
        cut = svg.clipped(text, "note", room)
        assert svg.width(cut, "note") <= max(room, svg.width("…", "note"))


# Measured in a browser, in thousandths of the size: CanvasRenderingContext2D.measureText with DejaVu's fonts.
@pytest.mark.parametrize(
    ("text", "style", "measured"),
    [
        ("KUBE-SERVICES", "words", 7890),
        ("10.244.1.2:8080", "words", 8289),
        ("from 10.96.0.10: mark", "words", 11284),
        ("web → 8080", "words", 6086),
        ("a · b", "words", 2201),
        ("KUBE-SERVICES", "name", 8886),
        ("client-a", "name", 4236),
        ("10.244.1.2", "code", 6020),
    ],
)
def test_a_text_is_hardly_ever_wider_than_it_was_taken_for(text: str, style: str, measured: float) -> None:
    wide = svg.width(text, style) / theme.STYLES[style].size * 1000
    assert measured - 1 <= wide <= measured * 1.25


def luminance(colour: str) -> float:
    """Return WCAG's relative luminance of `#rrggbb`."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("side", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("ink", theme.ARROWS)
def test_text_stands_out_from_whatever_is_behind_it(ink: str, side: int) -> None:
    grounds = ["ground", "surface", "raised", f"tint-{ink}", *(["tint-blue"] if ink != "red" else [])]
    if ink in {"ink", "muted"}:
        grounds = [name for name in theme.COLOURS if name.startswith(("tint-", "ground", "surface", "raised"))]
    for ground in grounds:
        pair = sorted((luminance(theme.COLOURS[name][side]) + 0.05 for name in (ink, ground)), reverse=True)
        assert pair[0] / pair[1] >= 4.5, (ink, ground)


def test_every_colour_has_a_light_one_for_who_knows_no_variables() -> None:
    rules = theme.sheet().split("\ntext{")[1]
    assert rules.count("var(--") == len(re.findall(r"([a-z-]+):#[0-9a-f]{6};\1:var\(--", rules)) > 20


# --- the checker -----------------------------------------------------------------------------------------------------


def test_a_good_picture_has_no_fault() -> None:
    box = svg.Box(10, 10, 100, 40)
    assert pictures.faults(drawn(svg.panel(box, "raised"), svg.label(20, 30, "web-1", "name"))) == []


@pytest.mark.parametrize(
    ("elements", "fault"),
    [
        ([svg.label(20, 30, "web-1", "name"), svg.label(30, 33, "web-2", "name")], "lies over"),
        ([svg.label(180, 30, "web-1", "name")], "leaves the canvas"),
        ([svg.label(20, 30, "web-1", "name", anchor="end")], "leaves the canvas"),
        ([svg.panel(svg.Box(10, 10, 30, 40), "raised"), svg.label(20, 30, "web-1", "name")], "crosses"),
        ([svg.panel(svg.Box(10, 10, 30, 40), "raised"), svg.panel(svg.Box(20, 20, 30, 40), "raised")], "crosses"),
        ([svg.element("g", svg.label(0, 30, "web-1", "name"), transform="translate(-20,0)")], "leaves the canvas"),
    ],
)
def test_a_fault_is_found(elements: list[svg.Element], fault: str) -> None:
    found = pictures.faults(drawn(*elements))
    assert found
    assert all(fault in one for one in found)


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        (['x_a["a"]', "x_a --> x_b"], "x_b is no box"),
        (['x_a["a"]', 'x_a["b"]'], "x_a is there twice"),
        (['x_a["a" b"]'], "no line of a flowchart"),
        (['x_a["a <b>"]'], "words that are syntax"),
        (['end["a"]'], "a word of mermaid's"),
        (['subgraph x_a["a"]'], "no end"),
        (['x_a["a"]:::late'], "late has no class"),
    ],
)
def test_a_fault_of_mermaid_is_found(lines: list[str], fault: str) -> None:
    assert [fault in one for one in pictures.mermaid_faults("\n".join(["flowchart LR", *lines]))] == [True]


# --- cards in columns ------------------------------------------------------------------------------------------------


def test_a_line_that_passes_a_column_runs_between_its_cards() -> None:
    sizes = {name: Size(100, 60, 16) for name in "abc"}
    joins = [Join("a", 40, "b"), Join("b", 40, "c"), Join("a", 50, "c")]
    places = layout(sizes, joins, across=50, down=16)
    assert [places.corners[name][0] for name in "abc"] == [0, 150, 300]
    (_, y) = places.corners["b"]
    passing = [point for point in places.ways[2] if 150 <= point[0] <= 250]
    assert len(passing) == 2
    assert all(not y <= point[1] <= y + 60 for point in passing)


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=12))
def test_no_card_lies_over_another_and_lines_lead_to_the_right(pairs: list[tuple[int, int]]) -> None:
    sizes = {str(at): Size(100, 40, 16) for at in range(7)}
    joins = [Join(str(start), 30, str(end)) for start, end in pairs if start < end]
    places = layout(sizes, joins, across=50, down=16)
    columns: dict[float, list[float]] = {}
    for x, y in places.corners.values():
        columns.setdefault(x, []).append(y)
        assert -0.001 <= y <= places.height - 39.999
    assert all(low + 55.999 <= high for ys in columns.values() for low, high in pairwise(sorted(ys)))
    assert all(one.end != one.start and places.corners[one.start][0] < places.corners[one.end][0] for one in joins)
