"""The machines of a cluster, drawn: nodes with their pods and interfaces, the wire, the router and the clients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lab.picture.svg import Box, Element, Point, fitted, group, label, panel, track, width
from lab.picture.theme import Colour
from lab.picture.topology import sizes as measure
from lab.picture.topology.scene import MORE_NODES, Interface, Machine, NodeBox, PodBox, Scene, State
from lab.picture.topology.sizes import APART, BAR, FOLDED, HEAD, PAD, ROW, Sizes

COLOURS: Mapping[State, Colour] = {"ready": "green", "terminating": "amber", "not ready": "red"}
_TO_WIRE = 34.0
_BEHIND = 46.0  # from the wire to the router
_CABLE = "way-muted"


@dataclass(frozen=True, slots=True)
class Drawn:
    """Elements, and the places by key where the lines to endpoints end; `right`: how far to the right they reach."""

    elements: list[Element] = field(default_factory=list)
    spots: dict[str, Point] = field(default_factory=dict)
    right: float = 0.0


def rows(box: Box, lines: Sequence[tuple[str, str, str, str]]) -> list[Element]:
    """Return the lines of a box, each a text and its style at the left, and one at the right, which is never cut."""
    found = []
    for at, (left, left_style, right, right_style) in enumerate(lines):
        y = box.y + PAD / 2 + ROW * at + ROW * 0.74
        room = box.width - 2 * PAD - (12 + width(right, right_style) if right else 0)
        found.append(label(box.x + PAD, y, fitted(left, left_style, room), left_style))
        if right:
            found.append(label(box.right - PAD, y, right, right_style, anchor="end"))
    return found


def draw(scene: Scene, related: Mapping[str, Sequence[str]], size: Sizes, corner: Point, high: float) -> Drawn:
    """Return the machines in columns that are `high`, the nodes first; `corner` is the upper left one.

    `related`: the keys of what belongs to a key, which a page lights together with it.
    """
    x, y = corner
    drawn = Drawn()
    at = y + (high - measure.nodes_height(scene)) / 2
    bar_x = x + size.node + _TO_WIRE
    for node in scene.nodes:
        box = Box(x, at, size.node, measure.node_height(node))
        out = _node(node, box, size, related, drawn)
        drawn.elements.append(track([out, (bar_x, out[1])], _CABLE))
        at = box.bottom + APART
    if scene.more_nodes:
        box = Box(x, at, size.node, FOLDED)
        drawn.elements.extend(folded(box, measure.folded_nodes(scene), MORE_NODES, related))
        drawn.elements.append(track([(box.right, box.middle[1]), (bar_x, box.middle[1])], _CABLE))
        drawn.spots[MORE_NODES] = (box.x, box.middle[1])
    right = _outside(scene, size, (bar_x, y), high, drawn.elements)
    return Drawn(drawn.elements, drawn.spots, right)


def folded(box: Box, words: str, key: str, related: Mapping[str, Sequence[str]]) -> list[Element]:
    """Return a box that counts what is not drawn."""
    text = label(box.x + PAD, box.y + FOLDED * 0.63, fitted(words, "note", box.width - 2 * PAD), "note")
    return [together(key, related, panel(box, "plain dashed"), text)]


def together(key: str, related: Mapping[str, Sequence[str]], *children: Element, title: str = "") -> Element:
    """Return what a page lights as one, with all that belongs to it."""
    return group(*children, title=title, data_key=key, data_of=" ".join([key, *related.get(key, ())]), tabindex=0)


def _node(node: NodeBox, box: Box, size: Sizes, related: Mapping[str, Sequence[str]], drawn: Drawn) -> Point:
    """Draw a node, and return where its cable to the wire begins."""
    name = fitted(node.name, "heading", box.width - 2 * PAD)
    drawn.elements.extend([panel(box, "surface", radius=10), label(box.x + PAD, box.y + 22, name, "heading")])
    said = measure.said(node)
    if width(name, "heading") + width(said, "address") + 16 <= box.width - 2 * PAD:
        drawn.elements.append(label(box.right - PAD, box.y + 22, said, "address", anchor="end"))
    room = Box(box.x + PAD, box.y + HEAD, box.width - 2 * PAD, box.height - HEAD - PAD)
    wiring = Box(room.right - size.wiring, room.y, size.wiring, room.height)
    cables = _pods(node, Box(room.x, room.y, size.pod, room.height), related, drawn)
    bar = Box(wiring.x - APART - BAR, room.y, BAR, room.height)
    drawn.elements.extend(track([start, (bar.x, start[1])], _CABLE) for start in cables)
    return _wiring(node, wiring, bar, drawn.elements)


def _pods(node: NodeBox, place: Box, related: Mapping[str, Sequence[str]], drawn: Drawn) -> list[Point]:
    """Draw a node's pods, and return where the cables of those begin that have one."""
    at = place.y + (place.height - measure.pods_height(node)) / 2
    cables = []
    for pod in node.pods:
        box = Box(place.x, at, place.width, measure.pod_height(pod))
        drawn.elements.append(_pod(pod, box, related))
        drawn.spots[pod.key] = (box.x, box.middle[1])
        if not pod.host_network:
            cables.append((box.right, box.middle[1]))
        at = box.bottom + 8
    if node.more:
        box = Box(place.x, at, place.width, FOLDED)
        drawn.elements.extend(folded(box, f"and {node.more} more pods", node.more_key, related))
        drawn.spots[node.more_key] = (box.x, box.middle[1])
        cables.append((box.right, box.middle[1]))
    return cables


def _pod(pod: PodBox, box: Box, related: Mapping[str, Sequence[str]]) -> Element:
    state = measure.state_of(pod)
    lines = [(pod.name, "name", state, "small")]
    first, *others = pod.addresses or ("no address",)
    ports = fitted(measure.ports_of(pod), "small", box.width - 2 * PAD - 12 - width(str(first), "address"))
    lines.append((str(first), "address", ports, "small"))
    lines += [(str(address), "address", "", "small") for address in others]
    kind = "raised" if pod.state == "ready" else f"tint-{COLOURS[pod.state]}"
    title = f"{pod.name}: {', '.join(map(str, pod.addresses))} {', '.join(pod.ports)}".strip()
    return together(pod.key, related, panel(box, kind, radius=6), *rows(box, lines), title=title)


def _wiring(node: NodeBox, place: Box, bar: Box, elements: list[Element]) -> Point:
    """Draw what a node's pods are plugged into as a bar with its name beside it, and the node's other interfaces.

    Return where the cable to the wire begins: it is eth0's, the last one.
    """
    y = place.y + (place.height - measure.stack_height(node)) / 2
    first, *others = node.wiring
    if others:
        elements.append(panel(bar, "wire" if first.bridge else "plain dashed", radius=5))
        beside = Box(place.x, y, place.width, measure.box_height(first))
        elements += rows(beside, _lines(first))
        y = beside.bottom + APART
    above: Box | None = None
    for one in others or [first]:
        box = Box(place.x, y, place.width, measure.box_height(one))
        if others:
            elements.append(track([(bar.right, box.middle[1]), (box.x, box.middle[1])], _CABLE))
        if above:
            elements.append(track([(box.middle[0], above.bottom), (box.middle[0], box.y)], _CABLE))
        elements += [panel(box, "raised", radius=6), *rows(box, _lines(one))]
        above, y = box, box.bottom + APART
    return place.right, y - APART - measure.box_height(node.wiring[-1]) / 2


def _lines(one: Interface | Machine) -> list[tuple[str, str, str, str]]:
    """Return the lines of a box: a name, and the addresses."""
    says = one.says if isinstance(one, Interface) else ""
    return [(one.name, "name", says, "small"), *((str(address), "address", "", "small") for address in one.addresses)]


def _outside(scene: Scene, size: Sizes, corner: Point, high: float, elements: list[Element]) -> float:
    """Draw the wire, and the router with its clients behind it; return how far to the right they reach."""
    bar_x, y = corner
    column = measure.machines_height(scene)
    top = max(y + (high - column) / 2, y + 30)
    x = bar_x + BAR + _BEHIND
    wire = Box(bar_x, y, BAR, max(high, top + column - y))
    words = f"wire {scene.wire}"
    elements += [panel(wire, "wire", radius=5), label(wire.right + 10, y + 12, words, "address")]
    box = Box(x, top, size.machine, measure.box_height(scene.router))
    elements += [track([(wire.right, box.middle[1]), (box.x, box.middle[1])], _CABLE), *_machine(scene.router, box)]
    trunk, at = box.x + 16, box.bottom
    indent = 36.0
    for client in scene.clients:
        below = Box(box.x + indent, at + APART, size.machine, measure.box_height(client))
        elements += [_branch(trunk, box, below), *_machine(client, below)]
        at = below.bottom
    if scene.more_clients:
        below = Box(box.x + indent, at + APART, size.machine, FOLDED)
        elements += [
            _branch(trunk, box, below),
            *folded(below, f"and {scene.more_clients} more clients", "clients", {}),
        ]
    right = box.x + (indent if scene.clients else 0) + size.machine
    return max(right, wire.right + 10 + width(words, "address"))


def _branch(trunk: float, above: Box, below: Box) -> Element:
    return track([(trunk, above.bottom), (trunk, below.middle[1]), (below.x, below.middle[1])], _CABLE)


def _machine(one: Machine, box: Box) -> list[Element]:
    return [panel(box, "raised", radius=6), *rows(box, _lines(one))]
