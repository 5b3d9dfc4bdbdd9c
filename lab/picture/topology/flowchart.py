"""A cluster as mermaid text."""

from __future__ import annotations

from collections.abc import Iterator

from lab.picture.mermaid import arrow, box, flowchart, inside
from lab.picture.topology.scene import MORE_NODES, NodeBox, PodBox, Scene, ServiceBox, State
from lab.picture.topology.sizes import folded_nodes

_KINDS: dict[State, str] = {"ready": "", "terminating": "late", "not ready": "never"}
_ARROWS: dict[State, str] = {"ready": "-->", "terminating": "-.->", "not ready": "-.-x"}
_WIRE, _ROUTER = "wire", "router"


def mermaid(scene: Scene) -> str:
    """Return the picture as a flowchart of mermaid's."""
    return flowchart(_lines(scene))


def _lines(scene: Scene) -> Iterator[str]:
    for service in scene.services:
        yield _service(service)
    if scene.more_services:
        yield box("services-more", f"and {scene.more_services} more Services", kind="folded")
    for node in scene.nodes:
        yield from inside(node.key, [" ".join([node.name, *map(str, node.addresses)])], _pods(node))
    if scene.more_nodes:
        yield box(MORE_NODES, folded_nodes(scene), kind="folded")
    yield box(_WIRE, "wire", scene.wire)
    yield box(_ROUTER, "router", *map(str, scene.router.addresses))
    for at, client in enumerate(scene.clients):
        yield box(f"client-{at}", client.name, *map(str, client.addresses))
    if scene.more_clients:
        yield box("clients-more", f"and {scene.more_clients} more clients", kind="folded")
    yield from _arrows(scene)


def _arrows(scene: Scene) -> Iterator[str]:
    for service in scene.services:
        for line in service.lines:
            words = "" if line.state == "ready" and line.count == 1 else f"{line.count} {line.state}"
            words = line.state if line.state != "ready" and line.count == 1 else words
            yield arrow(service.key, line.to, words, style=_ARROWS[line.state])
    for node in scene.nodes:
        yield arrow(node.key, _WIRE, style="---")
    if scene.more_nodes:
        yield arrow(MORE_NODES, _WIRE, style="---")
    yield arrow(_WIRE, _ROUTER, style="---")
    for at in range(len(scene.clients)):
        yield arrow(_ROUTER, f"client-{at}", style="---")
    if scene.more_clients:
        yield arrow(_ROUTER, "clients-more", style="---")


def _service(service: ServiceBox) -> str:
    outside = (f"outside: {socket}" for socket in service.outside)
    return box(
        service.key,
        f"{service.name} ({service.type})",
        *service.addresses,
        *service.ports,
        *service.notes,
        *outside,
        kind="service",
    )


def _pods(node: NodeBox) -> Iterator[str]:
    for pod in node.pods:
        yield _pod(pod)
    if node.more:
        yield box(node.more_key, f"and {node.more} more pods", kind="folded")
    if not node.pods and not node.more:
        yield box(f"{node.key}-none", "no pods", kind="folded")


def _pod(pod: PodBox) -> str:
    return box(pod.key, pod.name, *map(str, pod.addresses), ", ".join(pod.ports), kind=_KINDS[pod.state])
