"""A journey as a page: its story in one sentence, the picture with the steps beside it, conntrack's entries below."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from lab import words
from lab.model.flow import Flow, Tuple
from lab.model.journey import Journey
from lab.picture import html
from lab.picture.journey import told
from lab.picture.journey.draw import drawing
from lab.picture.journey.stations import Side, side_of
from lab.picture.journey.steps import steps
from lab.picture.journey.style import CSS, FOLLOW
from lab.picture.svg import Element, element
from lab.report.flows import translations
from lab.report.journey_sentence import outcome, sentence


def document(journey: Journey) -> str:
    """Return the page, a file that needs nothing else."""
    title = words.line(f"{journey.asker} → {journey.goal}")
    picture = drawing(journey, headed=False)
    body = [
        element(
            "header",
            element("h1", title),
            element("p", sentence(journey), class_="sentence"),
            element("p", outcome(journey), class_="muted"),
        ),
        _controls(journey),
        element(
            "main",
            element("div", _spoken(picture, title), class_="picture-frame"),
            element(
                "div", steps(journey, _cells(picture)), class_="list", tabindex="0", role="region", aria_label="Steps"
            ),
        ),
        *_entries(journey),
        *_notes(journey),
    ]
    return html.page(title, *body, css=CSS, script=html.LINKS + FOLLOW)


def _spoken(picture: Element, title: str) -> Element:
    """Return the picture as something with parts: each cell can be reached by the keyboard, and says what it is."""
    kept = tuple((name, value) for name, value in picture.attributes if name != "role")
    roles = (("role", "group"), ("aria-label", f"The way of {title}"))
    return replace(picture, attributes=(*kept, *roles), children=tuple(_reachable(one) for one in picture.children))


def _reachable(one: Element | str) -> Element | str:
    if isinstance(one, str):
        return one
    attributes = dict(one.attributes)
    children = tuple(_reachable(child) for child in one.children)
    key = str(attributes.get("data-key", ""))
    if not key.startswith("c"):
        return replace(one, children=children)
    label = next(
        (child.children[0] for child in one.children if isinstance(child, Element) and child.tag == "title"), ""
    )
    more = (("tabindex", "0"), ("role", "button"), ("aria-pressed", "false"), ("aria-label", str(label)))
    return replace(one, attributes=(*one.attributes, *more), children=children)


def _cells(one: Element | str) -> dict[int, str]:
    """Return the key of the cell that each step is lit with."""
    if isinstance(one, str):
        return {}
    attributes = dict(one.attributes)
    key = str(attributes.get("data-key", ""))
    found: dict[int, str] = {}
    if key.startswith("c"):
        found = {int(word[1:]): key for word in str(attributes["data-of"]).split() if word.startswith("s")}
    for child in one.children:
        found |= _cells(child)
    return found


def _controls(journey: Journey) -> Element:
    def box(kind: str, name: str, text: str, *, group: str | None = None, checked: bool = True) -> Element:
        ticked = "checked" if checked else None
        field = element("input", type=kind, name=group, id=name, checked=ticked)
        return element("label", field, " ", text)

    sides: dict[Side, list[str]] = {}
    for leg in journey.legs:
        names = sides.setdefault(side_of(journey, leg), [])
        names += [leg.role] if leg.role not in names else []
    shown = [box("checkbox", f"show-{side}", words.several(names, "and")) for side, names in sides.items()]
    return element(
        "form",
        element(
            "fieldset",
            element("legend", "Steps"),
            box("radio", "what-matters", "what matters", group="which"),
            box("radio", "all-steps", "all of them", group="which", checked=False),
        ),
        element("fieldset", element("legend", "Packets"), *shown),
        class_="controls",
    )


def _entries(journey: Journey) -> Iterator[Element]:
    """Yield the conntrack entries as a table."""
    if not journey.flows:
        return
    heads = ("node", "protocol", "request", "reply", "NAT", "mark", "state")
    rows = [element("tr", *(element("td", *cell) for cell in _row(flow, journey))) for flow in journey.flows]
    table = element(
        "table",
        element("thead", element("tr", *(element("th", head, scope="col") for head in heads))),
        element("tbody", *rows),
    )
    title = element("h2", f"conntrack: {words.count(len(rows), 'entry', 'entries')}", id="entries")
    yield element("section", title, element("div", table, class_="wide"), class_="entries", aria_labelledby="entries")


def _row(flow: Flow, journey: Journey) -> Iterator[tuple[Element | str, ...]]:
    yield (words.line(flow.node),)
    yield (flow.protocol,)
    for way in (flow.original, flow.reply):
        yield tuple(_ends(way, journey))
    yield (words.line(", ".join(translations(flow, journey.names)) or "none"),)
    yield (told.mark(flow.mark),)
    yield (f"{flow.state} {flow.tcp_state}".rstrip(),)


def _ends(way: Tuple, journey: Journey) -> Iterator[Element | str]:
    yield element("code", words.line(words.place(way.src, way.sport, journey.names)))
    yield element("br")
    yield element("code", words.line("→ " + words.place(way.dst, way.dport, journey.names)))


def _notes(journey: Journey) -> Iterator[Element]:
    if journey.notes:
        notes = [element("li", words.line(note)) for note in journey.notes]
        yield element("section", element("h2", "Notes", id="notes"), element("ul", *notes), aria_labelledby="notes")
