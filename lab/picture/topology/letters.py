"""A cluster in letters, for a terminal: its machines as a tree, and its Services with their endpoints."""

from __future__ import annotations

from collections.abc import Iterator

from lab import words
from lab.picture import tree
from lab.picture.topology.scene import MORE_NODES, Line, Machine, NodeBox, PodBox, Scene, ServiceBox, State
from lab.picture.topology.sizes import folded_nodes
from lab.picture.tree import Branch
from lab.report.table import PLAIN, Colour, Look, paint, wrap

_COLOURS: dict[State, Colour | None] = {"ready": None, "terminating": "yellow", "not ready": "red"}


def text(scene: Scene, look: Look = PLAIN) -> str:
    """Return the picture in letters, as wide as the look."""
    subtitle = wrap(scene.subtitle if look.unicode else scene.subtitle.replace(" · ", ", "), look.width)
    parts = [f"{paint(words.line(scene.name), 'bold', look)}\n{subtitle}", tree.text([_wire(scene)], look)]
    if services := _services(scene):
        parts.append(tree.text(services, look))
    return "\n\n".join(parts)


def _wire(scene: Scene) -> Branch:
    nodes = [_node(node) for node in scene.nodes]
    if scene.more_nodes:
        nodes.append(Branch((folded_nodes(scene),)))
    return Branch((f"wire  {scene.wire}",), (*nodes, _router(scene)), "bold")


def _node(node: NodeBox) -> Branch:
    first, *others = node.wiring
    pods = tuple(_pod(pod) for pod in node.pods)
    if node.more:
        pods = (*pods, Branch((f"and {node.more} more pods",)))
    addresses = _addresses(node.addresses)
    head = (node.name, addresses)
    if not others:  # nothing between its pods and eth0
        return Branch(head, pods, "bold")
    tunnels = tuple(Branch((one.name, _addresses(one.addresses), one.says)) for one in others[:-1])
    ranges = f" of {', '.join(node.ranges)}" if node.ranges else ""
    inner = Branch((first.name, f"{_addresses(first.addresses)}{ranges}", first.says), pods)
    return Branch(head, (inner, *tunnels), "bold")


def _pod(pod: PodBox) -> Branch:
    said = [*([pod.state] if pod.state != "ready" else []), *(["host network"] if pod.host_network else [])]
    last = "  ".join([", ".join(pod.ports), *said]).strip()
    return Branch((pod.name, _addresses(pod.addresses), last), colour=_COLOURS[pod.state])


def _router(scene: Scene) -> Branch:
    below = [_machine(client) for client in scene.clients]
    if scene.more_clients:
        below.append(Branch((f"and {scene.more_clients} more clients",)))
    return Branch(_machine(scene.router).cells, tuple(below), "bold")


def _machine(one: Machine) -> Branch:
    return Branch((one.name, _addresses(one.addresses)), colour="bold")


def _addresses(addresses: tuple[object, ...]) -> str:
    return ", ".join(map(str, addresses))


def _services(scene: Scene) -> list[Branch]:
    found = [_service(service, scene) for service in scene.services]
    if scene.more_services:
        found.append(Branch((f"and {scene.more_services} more Services",)))
    return found


def _service(service: ServiceBox, scene: Scene) -> Branch:
    names = dict(_names(scene))
    ends = [_end(line, names[line.to]) for line in service.lines]
    ends += [Branch((f"outside of the cluster: {socket}",)) for socket in service.outside]
    said = "; ".join([*service.ports, *service.notes])
    cells = (service.name, service.type, ", ".join(service.addresses), said)
    return Branch(cells, tuple(ends) or (Branch(("no endpoints",)),), "bold")


def _end(line: Line, name: str) -> Branch:
    state = "" if line.state == "ready" else line.state
    if line.count > 1 or not line.sockets[1:]:
        told = words.count(line.count, "endpoint") if line.count > 1 else line.sockets[0]
    else:
        told = ", ".join(line.sockets)
    return Branch((name, told, state), colour=_COLOURS[line.state])


def _names(scene: Scene) -> Iterator[tuple[str, str]]:
    """Yield what each key is called."""
    for node in scene.nodes:
        yield from ((pod.key, pod.name) for pod in node.pods)
        yield node.more_key, f"more pods of {node.name}"
    yield MORE_NODES, "pods of more nodes"
