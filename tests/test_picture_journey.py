"""Pictures of journeys: what is drawn, that nothing covers anything, and that no name from outside becomes markup."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from ipaddress import ip_address
from itertools import pairwise
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.journey import assemble
from lab.model.journey import End, Journey, Leg
from lab.picture.journey import html, svg
from lab.picture.journey.layout import TALL, cards
from lab.picture.journey.stations import stations
from lab.picture.svg import Box
from lab.report.journey import text
from lab.report.journey_sentence import MOMENTS, sentence
from tests.journeys import (
    EVERY,
    NAMES,
    Story,
    arrived,
    clusterip,
    drop,
    hairpin,
    in_circles,
    lost,
    nodeport,
    reject,
    untranslated,
    way,
)
from tests.pictures import SVG, faults, things
from tests.recorded import NAMES as RECORDED
from tests.recorded import recorded


def from_a_node() -> Journey:
    """A node asks a Service itself: its packets begin at OUTPUT and end at INPUT."""
    asks = way("192.168.0.10:40200 10.96.0.10:80")
    there = Story(asks, node="node-1", mark=0)
    there.add("route", text="10.96.0.10 via 192.168.0.1 dev eth0", observed=False).hook("OUTPUT", "", "eth0")
    there.to_service("OUTPUT").choose(2).postrouting("eth0").made("destination").tap("node-1/eth0", "out")
    there.tap("node-2/eth0", "in").hook("PREROUTING", "eth0").forward("eth0", "cbr0").postrouting("cbr0")
    there.tap("node-2/veth-web-2", "out").tap("web-2/eth0", "in")
    back = Story(way("10.244.2.2:8080 192.168.0.10:40200"), time_ns=there.time_ns)
    back.tap("web-2/eth0", "out").tap("node-2/veth-web-2", "in").hook("PREROUTING", "cbr0")
    back.hook("FORWARD", "cbr0", "eth0").hook("POSTROUTING", "", "eth0").tap("node-2/eth0", "out")
    back.tap("node-1/eth0", "in").hook("PREROUTING", "eth0").translated_back(source="10.96.0.10:80")
    back.hook("INPUT", "eth0")
    legs = (there.leg("request", "tcp [S]", arrived("web-2")), back.leg("reply", "tcp [S.]", arrived("node-1")))
    return replace(clusterip(), asker="node-1", original=asks, legs=legs)


def to_itself() -> Journey:
    """A node asks its own node port: the packet leaves by lo and comes in again."""
    asks = way("127.0.0.1:40300 127.0.0.1:30080")
    there = Story(asks, node="node-1", mark=0).hook("OUTPUT", "", "lo").hook("POSTROUTING", "", "lo")
    there.tap("node-1/lo", "out").tap("node-1/lo", "in").hook("PREROUTING", "lo").hook("INPUT", "lo")
    end = End(kind="refused", node="node-1", why="nobody listens on 127.0.0.1:30080")
    legs = (there.leg("request", "tcp [S]", end),)
    return replace(clusterip(), asker="node-1", goal="node-1", original=asks, legs=legs, endpoint="", flows=())


def around() -> Journey:
    """The reply takes another way than the request: past the node that translated it."""
    found = nodeport()
    back = Story(way("10.244.2.2:8080 198.51.100.10:50984"))
    back.tap("web-2/eth0", "out").tap("node-2/veth-web-2", "in").hook("PREROUTING", "cbr0")
    back.hook("FORWARD", "cbr0", "eth0").hook("POSTROUTING", "", "eth0").tap("node-2/eth0", "out")
    back.tap("router/eth0", "in").tap("router/client", "out").tap("client/eth0", "in")
    end = End(kind="lost", node="client", why="nobody translated it back", observed=False)
    return replace(found, legs=(found.legs[0], back.leg("reply", "tcp [S.]", end)))


def too_large() -> Journey:
    """The first packets arrive; a large one does not."""
    found = clusterip()
    cut = next(at for at, step in enumerate(found.legs[0].steps) if step.hook == "FORWARD")
    end = End(kind="lost", node="node-1", why="too large for eth0, and the sender did not hear of it", observed=False)
    data = Leg(role="data", packet="tcp [P.] 1460 bytes", steps=found.legs[0].steps[: cut + 1], end=end, times=4)
    return replace(found, legs=(*found.legs, data))


def long_names() -> Journey:
    """Names and addresses as long as Kubernetes and IPv6 allow."""
    six = [ip_address(f"fd00:1234:5678:9abc:def0:1234:5678:{last}") for last in ("aaaa", "bbbb", "cccc")]
    source, service, pod = six
    longest = "web-deployment-with-a-long-name-7d4b9c6f5d-x2x7k"
    names = {source: "client-" + longest, service: f"svc/{longest}", pod: longest}
    old = {ip_address("10.244.1.3"): source, ip_address("10.96.0.10"): service, ip_address("10.244.2.2"): pod}
    known = {"web-2": longest, "client-a": "client-" + longest}

    def longer(leg: Leg) -> Leg:
        steps = tuple(
            replace(
                step,
                node=known.get(step.node, step.node),
                endpoint=known.get(step.endpoint, step.endpoint),
                before=replace(step.before, src=old[step.before.src], dst=old[step.before.dst]),
                after=replace(step.after, src=old[step.after.src], dst=old[step.after.dst]),
            )
            for step in leg.steps
        )
        return replace(leg, steps=steps)

    found = clusterip()
    asks = replace(found.original, src=source, dst=service)
    legs = tuple(longer(leg) for leg in found.legs)
    return replace(found, asker=known["client-a"], endpoint=longest, original=asks, legs=legs, names=names, flows=())


MORE = {
    "from-a-node": from_a_node,
    "to-itself": to_itself,
    "around": around,
    "too-large": too_large,
    "long-names": long_names,
}
ALL = EVERY | MORE


def words_of(picture: str) -> list[str]:
    return ["".join(one.itertext()) for one in ET.fromstring(picture).iter(f"{SVG}text")]


@pytest.mark.parametrize("name", ALL)
def test_no_word_of_a_picture_covers_another_one_or_leaves_its_box(name: str) -> None:
    assert faults(svg(ALL[name]())) == []


@pytest.mark.parametrize("name", ALL)
def test_no_line_runs_through_words(name: str) -> None:
    root = ET.fromstring(svg(ALL[name]()))
    shown = [thing for thing in things(root) if thing.what.startswith("text") and thing.box.y > 90]
    boxes = [thing.box for thing in things(root) if thing.what.startswith("rect") and thing.box.height < 40]
    free = [one for one in shown if not any(_holds(box, one.box) for box in boxes)]
    crossed = []
    for path, down in _paths(root):
        for (x, y), (to_x, to_y) in pairwise(path):
            low, high = sorted((y + down, to_y + down))
            left, right = sorted((x, to_x))
            crossed += [
                one.what
                for one in free
                if left < one.box.right and right > one.box.x and low < one.box.bottom and high > one.box.y
            ]
    assert crossed == []


@pytest.mark.parametrize("name", RECORDED)
def test_what_is_no_interface_stands_inside_its_machine(name: str) -> None:
    _, drawn = cards(assemble(recorded(name)))
    for card in drawn:
        for box in (one.box for one in card.placed if one.cell.kind != "tap"):
            assert card.box.y < box.y
            assert box.bottom < card.box.bottom


@pytest.mark.parametrize("name", ALL)
def test_a_line_goes_around_the_hooks_that_its_packet_did_not_come_to(name: str) -> None:
    root = ET.fromstring(svg(ALL[name]()))
    unmet = [box for group in root.iter(f"{SVG}g") if group.get("class") == "unmet" for box in _boxes(group)]
    for path, _ in _paths(root):
        for (x, y), (to_x, to_y) in pairwise(path):
            low, high = sorted((y, to_y))
            left, right = sorted((x, to_x))
            met = [box for box in unmet if left < box.right and right > box.x and low < box.bottom and high > box.y]
            assert met == []


def _boxes(group: ET.Element) -> list[Box]:
    """Return the boxes of hooks in a group; a decision's is lower, and a line may run behind it."""
    found = [[float(one.attrib[name]) for name in ("x", "y", "width", "height")] for one in group.iter(f"{SVG}rect")]
    return [Box(x, y, wide, high) for x, y, wide, high in found if high >= TALL["hook"]]


def _holds(box: Box, text: Box) -> bool:
    return box.x <= text.x and box.right >= text.right and box.y <= text.y and box.bottom >= text.bottom


def _paths(root: ET.Element) -> list[tuple[list[tuple[float, float]], float]]:
    """Return the points of each line between cells, and how far its group is moved down."""
    moved = next(one for one in root if one.tag == f"{SVG}g" and "transform" in one.attrib)
    down = float(moved.attrib["transform"].rstrip(")").split()[-1])
    lines = [one.attrib["d"] for one in moved.iter(f"{SVG}path") if "way-" in one.attrib.get("class", "")]
    return [([(float(x), float(y)) for x, y in re.findall(r"([-\d.]+),([-\d.]+)", line)], down) for line in lines]


@pytest.mark.parametrize("name", ALL)
def test_a_picture_stands_alone_as_valid_xml_with_a_size_a_title_and_a_description(name: str) -> None:
    text = svg(ALL[name]())
    root = ET.fromstring(text)
    wide, high = root.attrib["width"], root.attrib["height"]
    assert root.attrib["viewBox"] == f"0 0 {wide} {high}"
    title, description = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
    assert title is not None
    assert title.text == f"{ALL[name]().asker} → {ALL[name]().goal}"
    assert description is not None
    assert (description.text or "").startswith(f"{ALL[name]().asker} asked ")
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "").replace("web:http", "")


def test_the_places_stand_in_the_order_of_the_request() -> None:
    assert [one.name for one in stations(nodeport())] == ["client", "router", "node-1", "node-2", "web-2"]


def test_a_hairpin_comes_to_the_same_pod_again() -> None:
    assert [one.name for one in stations(hairpin())] == ["web-1", "node-1", "web-1"]
    assert words_of(svg(hairpin())).count("the same again") == 1


def test_a_place_that_the_request_did_not_reach_is_there_and_says_so() -> None:
    last = stations(drop())[-1]
    assert (last.name, last.reached) == ("web-2", False)
    assert words_of(svg(drop())).count("not reached") == 1
    assert "not reached" not in words_of(svg(clusterip()))


def test_each_node_has_all_hooks_for_each_direction_whether_visited_or_not() -> None:
    node = next(one for one in stations(clusterip()) if one.name == "node-1")
    for side in ("down", "up"):
        hooks = {cell.name: bool(cell.legs) for cell in node.lanes[side].cells if cell.kind == "hook"}
        assert hooks == {"PREROUTING": True, "FORWARD": True, "INPUT": False, "OUTPUT": False, "POSTROUTING": True}


def test_a_packet_of_the_node_itself_begins_behind_its_process_and_the_reply_ends_there() -> None:
    node = stations(from_a_node())[0]
    down = [cell.name for cell in node.lanes["down"].cells if cell.legs]
    up = [cell.name for cell in node.lanes["up"].cells if cell.legs]
    assert down == ["local process", "routing", "OUTPUT", "POSTROUTING", "eth0"]
    assert up == ["eth0", "PREROUTING", "INPUT", "local process"]


def test_a_packet_that_a_node_sends_to_itself_comes_through_it_twice() -> None:
    cells = [[cell.name for cell in one.lanes["down"].cells if cell.legs] for one in stations(to_itself())]
    assert cells == [["local process", "OUTPUT", "POSTROUTING", "lo"], ["lo", "PREROUTING", "INPUT"]]


def test_of_a_packet_that_goes_round_in_circles_the_first_and_the_last_round_are_shown() -> None:
    names = [one.name for one in stations(in_circles())]
    assert names == ["client", "router", "node-1", "and so on", "router", "node-1"]
    said = words_of(svg(in_circles()))
    assert "28 rounds" in said
    assert "28 more rounds by router and node-1" in " ".join(said)


@pytest.mark.parametrize("passed", [0, 1])
def test_the_picture_counts_the_rounds_of_a_packet_as_the_text_does(passed: int) -> None:
    whole = in_circles()
    (leg,) = whole.legs
    first = replace(leg.steps[2], moments=("dnat",))  # so the router's first stay is not like its others
    changed = replace(leg, steps=(*leg.steps[:2], first, *leg.steps[3:])) if passed else leg
    journey = replace(whole, legs=(changed,))
    more = 28 - passed
    assert f"... {more} more rounds between " in text(journey)
    assert f" sent it to each other {more + 2} times; " in sentence(journey)
    assert f"{more} rounds" in words_of(svg(journey))


def test_the_line_to_the_same_place_again_is_explained_where_there_is_one() -> None:
    assert "the same place again" in words_of(svg(in_circles()))
    assert "the same place again" not in words_of(svg(clusterip()))


def test_a_reply_that_takes_another_way_goes_around_the_node_that_it_missed() -> None:
    node = next(one for one in stations(around()) if one.name == "node-1")
    assert set(node.lanes) == {"down"}


def test_translations_are_called_out_with_both_addresses_and_the_choice() -> None:
    said = words_of(svg(clusterip()))
    for words in ("chose web-2, 1 of 2", "DNAT", "10.96.0.10:80", "→ 10.244.2.2:8080", "translated back"):
        assert words in said, words
    said = words_of(svg(hairpin()))
    for words in ("masqueraded", "mark 0x0 → 0x4000", "mark 0x4000 read", "hairpin"):
        assert words in said, words


@pytest.mark.parametrize(
    ("journey", "end"), [(drop, "✕ dropped"), (reject, "✕ refused"), (lost, "✕ lost"), (untranslated, "✕ refused")]
)
def test_a_dead_end_is_a_cross_and_says_why(journey: Callable[[], Journey], end: str) -> None:
    picture = svg(journey())
    assert end in words_of(picture)
    crosses = re.findall(r'<circle[^>]*class="([^"]*)"/>\s*<path[^>]*class="cross"/>', picture)
    assert crosses == ["fill-red"]
    assert svg(clusterip()).count('class="cross"') == 0


def test_what_is_inferred_is_dashed() -> None:
    cells = re.findall(r'<g class="cell.*?</g>', svg(clusterip()), re.DOTALL)
    routing = [cell for cell in cells if ">node-1: routing" in cell]
    assert ["dashed" in cell for cell in routing] == [True]
    sure = replace(clusterip(), legs=tuple(_sure(leg) for leg in clusterip().legs))
    assert "inferred" not in svg(sure)
    assert ' dashed"' not in svg(sure)


def _sure(leg: Leg) -> Leg:
    return replace(leg, steps=tuple(replace(step, observed=True) for step in leg.steps))


class _Page(HTMLParser):
    """Reads a page as a browser does: its elements, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.mark.parametrize("name", ALL)
def test_a_page_has_every_step_and_ties_each_to_its_place_in_the_picture(name: str) -> None:
    journey = ALL[name]()
    page = _Page(html(journey))
    steps = [attributes for tag, attributes in page.tags if tag == "li" and "data-key" in attributes]
    assert [one["data-key"] for one in steps] == [f"s{index}" for index in range(len(journey.steps))]
    cells = {
        str(one["data-key"])
        for _, one in page.tags
        if str(one.get("class", "")).startswith("cell ") and "data-key" in one
    }
    assert {str(one["data-of"]).split()[1] for one in steps} == cells


@pytest.mark.parametrize("name", EVERY)
def test_a_page_calls_each_moment_as_the_text_does(name: str) -> None:
    journey = EVERY[name]()
    moments = [moment for step in journey.steps for moment in step.moments]
    tags = re.findall(r'<span class="tag colour-\w+">([^<]*)</span>', html(journey))
    said = [tag for tag in tags if tag != "inferred"]
    assert [tag.partition(":")[0] for tag in said] == [MOMENTS[moment] for moment in moments]


def test_a_page_has_the_story_every_rule_the_conntrack_entries_and_the_notes() -> None:
    journey = lost(known=False)
    assert journey.notes[0] in _Page(html(journey)).words
    journey = clusterip()
    page = _Page(html(journey))
    for step in journey.steps:
        assert step.rule is None or step.rule.text in page.words
    assert sum(tag == "tr" for tag, _ in page.tags) == 1 + len(journey.flows)
    assert any(text.startswith("client-a asked web") for text in page.words)


@pytest.mark.parametrize("name", ALL)
def test_a_page_needs_nothing_else_and_runs_nothing_but_its_own_script(name: str) -> None:
    page = _Page(html(ALL[name]()))
    assert {attribute for _, one in page.tags for attribute in one} & {"src", "style", "onclick", "srcset"} == set()
    assert not [tag for tag, _ in page.tags if tag in {"link", "img", "iframe", "object", "a"}]
    policy = next(str(one["content"]) for tag, one in page.tags if one.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy


HOSTILE = st.text(
    st.one_of(st.characters(codec="utf-8"), st.sampled_from("<>&\"'/`=;{}\u202e\u200f\u2028\x00\x1b\n")),
    min_size=1,
    max_size=40,
) | st.sampled_from(
    [
        "</script><script>alert(1)</script>",
        '"><svg onload=alert(1)>',
        "</style>",
        "]]>",
        "<!--",
        "&amp;",
        "\u202eevil",
        "</title>",
    ]
)


@settings(max_examples=40, deadline=None)
@given(name=HOSTILE, comment=HOSTILE)
def test_no_name_and_no_comment_becomes_markup(name: str, comment: str) -> None:
    found = clusterip()
    steps = tuple(
        replace(
            step,
            node=name if step.node == "web-2" else step.node,
            interface=name if step.kind == "tap" else step.interface,
            chain=comment,
            endpoint=name,
            text=comment,
            rule=replace(step.rule, text=comment) if step.rule else None,
        )
        for step in found.legs[0].steps
    )
    leg = replace(found.legs[0], packet=comment, steps=steps, end=replace(found.legs[0].end, node=name, why=comment))
    journey = replace(
        found, asker=name, goal=name, endpoint=name, notes=(comment,), legs=(leg, found.legs[1]),
        names=dict.fromkeys(NAMES, name),
    )  # fmt: skip
    plain, hostile = _Page(html(_with(journey, "x", "y", name, comment))), _Page(html(journey))
    assert _shape(hostile) <= _shape(plain) | {"tspan"}
    root = ET.fromstring(svg(journey))
    assert {one.tag for one in root.iter()} <= {
        f"{SVG}{tag}" for tag in
        ("svg", "title", "desc", "style", "defs", "marker", "path", "rect", "g", "text", "circle")
    }  # fmt: skip
    assert not set("\u202e\u200f\x00\x1b") & set(svg(journey) + html(journey))


def _with(journey: Journey, name: str, comment: str, old: str, old_comment: str) -> Journey:
    """Return the same journey with harmless words."""
    return replace(journey, asker=name, goal=name, endpoint=name, notes=(comment,)) if old and old_comment else journey


def _shape(page: _Page) -> set[str]:
    return {tag for tag, _ in page.tags}
