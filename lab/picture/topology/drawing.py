"""A cluster as SVG and as a page: Services to the left, nodes with their pods amid, the wire and what is behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lab import words
from lab.picture import html
from lab.picture.svg import Box, Element, Point, curve, element, group, label, panel, picture, render, track, width
from lab.picture.topology import machines
from lab.picture.topology import sizes as measure
from lab.picture.topology.machines import COLOURS
from lab.picture.topology.scene import Line, Scene, ServiceBox, State
from lab.picture.topology.sizes import APART, FOLDED, PAD

MARGIN = 28.0
_TOP = 94.0
_GAP = 130.0  # in which the lines to the endpoints run
_LEGEND = 40.0

_DASHES: Mapping[State, str] = {"ready": "", "terminating": " dashed", "not ready": " dotted"}
_MEANING: Mapping[State, str] = {
    "ready": "endpoint that is ready",
    "terminating": "terminating: used while it serves and none is ready",
    "not ready": "not ready: never used",
}


def svg(scene: Scene) -> str:
    """Return the picture as an SVG file's text."""
    return render(_picture(scene)) + "\n"


def page(scene: Scene) -> str:
    """Return the picture as a page, in which a Service is lit with its endpoints, and a pod with its Services."""
    hint = "Point at a Service or a pod to see what belongs together. A click keeps it so, Escape lets go."
    return html.page(f"{scene.name}: topology", _picture(scene), element("p", hint, class_="hint"))


def _picture(scene: Scene) -> Element:
    size, related = measure.sizes(scene), _related(scene)
    x = MARGIN + (size.service + _GAP if scene.services else 0)
    left = measure.services_height(scene)
    high = max(left, measure.nodes_height(scene), measure.machines_height(scene) + 30)
    drawn = machines.draw(scene, related, size, (x, _TOP), high)
    cards, starts = _cards(scene, related, Box(MARGIN, _TOP + (high - left) / 2, size.service, left))
    lines = [
        _line(service, line, starts[service.key], drawn.spots[line.to])
        for service in scene.services
        for line in service.lines
    ]
    legend, legend_right = _legend(scene, _TOP + high + _LEGEND)
    right = max(drawn.right, legend_right, *(MARGIN + width(*one) for one in _titles(scene)))
    return picture(
        (right + MARGIN, _TOP + high + (_LEGEND if legend else 0) + MARGIN),
        [
            *(label(MARGIN, 48 + 23 * at, *one) for at, one in enumerate(_titles(scene))),
            *drawn.elements,
            *lines,
            *cards,
            *legend,
        ],
        title=f"{scene.name}: topology",
        description=_description(scene),
    )


def _titles(scene: Scene) -> tuple[tuple[str, str], ...]:
    """Return the lines above the picture, and their styles."""
    return (scene.name, "title"), (scene.subtitle, "subtitle")


def _related(scene: Scene) -> dict[str, list[str]]:
    """Return the keys of what belongs to a Service, or to a pod."""
    found: dict[str, list[str]] = {}
    for service in scene.services:
        for line in service.lines:
            found.setdefault(service.key, []).append(line.to)
            found.setdefault(line.to, []).append(service.key)
    return found


def _cards(scene: Scene, related: Mapping[str, Sequence[str]], place: Box) -> tuple[list[Element], dict[str, Point]]:
    """Return the Services' cards, and where the lines of each begin."""
    cards, starts, y = [], {}, place.y
    for service in scene.services:
        box = Box(place.x, y, place.width, measure.service_height(service))
        cards.append(_card(service, box, related))
        starts[service.key] = (box.right, box.middle[1])
        y = box.bottom + APART
    if scene.more_services:
        box = Box(place.x, y, place.width, FOLDED)
        cards += machines.folded(box, f"and {scene.more_services} more Services", "services-more", {})
    return cards, starts


def _card(service: ServiceBox, box: Box, related: Mapping[str, Sequence[str]]) -> Element:
    lines = [(service.name, "heading", service.type, "small")]
    lines += [(text, style, "", "small") for text, style in measure.service_lines(service)]
    inner = Box(box.x, box.y + PAD / 4, box.width, box.height)
    title = "\n".join([f"{service.type} {service.name}", *(text for text, _ in measure.service_lines(service))])
    return machines.together(service.key, related, panel(box, "tint-blue"), *machines.rows(inner, lines), title=title)


def _line(service: ServiceBox, line: Line, start: Point, end: Point) -> Element:
    colour = COLOURS[line.state]
    words_ = f"{service.name} to {', '.join(line.sockets[:8])}{' ...' if line.sockets[8:] else ''}: {line.state}"
    drawn = curve(start, (end[0] - 2, end[1]), f"way-{colour}{_DASHES[line.state]}", arrow=colour)
    return group(drawn, title=words_, data_of=f"{service.key} {line.to}")


def _legend(scene: Scene, y: float) -> tuple[list[Element], float]:
    """Return what the lines mean, and how far to the right that reaches."""
    found, x = [], MARGIN
    for state in _MEANING:
        if state in scene.states:
            text = _MEANING[state]
            sample = track([(x, y - 4), (x + 34, y - 4)], f"way-{COLOURS[state]}{_DASHES[state]}", arrow=COLOURS[state])
            found += [sample, label(x + 44, y, text, "note")]
            x += 44 + width(text, "note") + 28
    return found, x - 28


def _description(scene: Scene) -> str:
    """Return the picture in sentences."""
    nodes = "; ".join(f"{node.name} has {words.count(len(node.pods) + node.more, 'pod')}" for node in scene.nodes)
    services = "; ".join(
        f"{one.name} leads to {words.count(sum(line.count for line in one.lines), 'endpoint')}"
        for one in scene.services
    )
    return ". ".join(part for part in (scene.subtitle, nodes, services) if part) + "."
