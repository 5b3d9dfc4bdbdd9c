"""How large each box of a cluster's picture is: as large as its words, within bounds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lab import words
from lab.picture import svg
from lab.picture.topology.scene import Interface, Machine, NodeBox, PodBox, Scene, ServiceBox

PAD = 12.0
ROW = 17.0
APART = 14.0
"""Between two boxes of a column."""
HEAD = 34.0
"""From a node's upper edge to its first box."""
BAR = 10.0
"""The width of what is plugged into: the wire, a node's bridge."""
CABLE = 26.0
"""Between the pods and the bar that they are plugged into."""
FOLDED = 30.0
"""A box that only counts."""
_POD = (150.0, 300.0)
_WIRING = (120.0, 300.0)
_SERVICE = (180.0, 300.0)
_MACHINE = (130.0, 300.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sizes:
    """The widths that all boxes of a kind have."""

    service: float
    pod: float
    wiring: float
    node: float
    machine: float


def sizes(scene: Scene) -> Sizes:
    """Return how wide the boxes of a scene are."""
    pods = [wide for node in scene.nodes for pod in node.pods for wide in _pod_rows(pod)]
    wiring = [wide for node in scene.nodes for one in node.wiring for wide in _wiring_rows(one)]
    services = [wide for service in scene.services for wide in _service_rows(service)]
    machines = [wide for one in (scene.router, *scene.clients) for wide in _machine_rows(one)]
    pod, wire = _within(pods, _POD), _within(wiring, _WIRING)
    heads = max((pair_width(one.name, "heading", said(one), "address") for one in scene.nodes), default=0.0)
    return Sizes(
        service=_within(services, _SERVICE),
        pod=pod,
        wiring=wire,
        node=max(pod + CABLE + BAR + APART + wire + 2 * PAD, min(heads + 2 * PAD, 640.0)),
        machine=_within(machines, _MACHINE),
    )


def said(node: NodeBox) -> str:
    """Return what stands beside a node's name: which pods are its own."""
    return f"pods {', '.join(node.ranges)}" if node.ranges else ""


def service_lines(service: ServiceBox) -> tuple[tuple[str, str], ...]:
    """Return the lines of a Service's card under its name, each with its style."""
    return (
        *((address, "code") for address in service.addresses),
        *((port, "note") for port in service.ports),
        *((note, "small") for note in service.notes),
        *((f"outside: {socket}", "small") for socket in service.outside),
    )


def service_height(service: ServiceBox) -> float:
    """Return the height of a Service's card."""
    return PAD * 1.5 + ROW * (1 + len(service_lines(service)))


def pod_height(pod: PodBox) -> float:
    """Return the height of a pod."""
    return PAD + ROW * (1 + max(1, len(pod.addresses)))


def box_height(one: Interface | Machine) -> float:
    """Return the height of an interface, of the router or of a client."""
    return PAD + ROW * (1 + len(one.addresses))


def pods_height(node: NodeBox) -> float:
    """Return the height of a node's column of pods."""
    return column([*map(pod_height, node.pods), *([FOLDED] if node.more else [])], 8)


def stack_height(node: NodeBox) -> float:
    """Return the height of a node's column of interfaces."""
    return column(map(box_height, node.wiring))


def node_height(node: NodeBox) -> float:
    """Return the height of a node."""
    return HEAD + max(pods_height(node), stack_height(node)) + PAD


def column(heights: Iterable[float], apart: float = APART) -> float:
    """Return the height of boxes one under the other."""
    every = list(heights)
    return sum(every) + apart * max(0, len(every) - 1)


def services_height(scene: Scene) -> float:
    """Return the height of the column of Services."""
    return column([*map(service_height, scene.services), *([FOLDED] if scene.more_services else [])])


def nodes_height(scene: Scene) -> float:
    """Return the height of the column of nodes."""
    return column([*map(node_height, scene.nodes), *([FOLDED] if scene.more_nodes else [])])


def machines_height(scene: Scene) -> float:
    """Return the height of the router with its clients."""
    return column([*map(box_height, (scene.router, *scene.clients)), *([FOLDED] if scene.more_clients else [])])


def folded_nodes(scene: Scene) -> str:
    """Return the words that stand for the nodes that are not drawn."""
    return f"and {scene.more_nodes} more nodes, with {words.count(scene.more_pods, 'pod')}"


def pair_width(left: str, left_style: str, right: str, right_style: str) -> float:
    """Return how wide two texts are that stand at both ends of a line."""
    return svg.width(left, left_style) + (16 + svg.width(right, right_style) if right else 0)


def _within(wanted: Iterable[float], bounds: tuple[float, float]) -> float:
    least, most = bounds
    return min(max([least, *(one + 2 * PAD for one in wanted)]), most)


def _pod_rows(pod: PodBox) -> Iterable[float]:
    yield pair_width(pod.name, "name", state_of(pod), "small")
    for at, address in enumerate(pod.addresses):
        yield pair_width(str(address), "address", "" if at else ports_of(pod), "small")


def state_of(pod: PodBox) -> str:
    """Return what stands beside a pod's name: its state, if that is not the usual one."""
    return "" if pod.state == "ready" else pod.state


def ports_of(pod: PodBox) -> str:
    """Return what stands beside a pod's address."""
    ports = ", ".join(port.removesuffix("/TCP") for port in pod.ports)
    return f"{'host network ' if pod.host_network else ''}{f':{ports}' if ports else ''}".strip()


def _wiring_rows(one: Interface) -> Iterable[float]:
    yield pair_width(one.name, "name", one.says, "small")
    yield from (svg.width(str(address), "address") for address in one.addresses)


def _service_rows(service: ServiceBox) -> Iterable[float]:
    yield pair_width(service.name, "heading", service.type, "small")
    yield from (svg.width(text, style) for text, style in service_lines(service))


def _machine_rows(one: Machine) -> Iterable[float]:
    yield svg.width(one.name, "name")
    yield from (svg.width(str(address), "address") for address in one.addresses)
