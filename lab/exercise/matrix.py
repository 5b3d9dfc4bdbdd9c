"""The golden behaviour matrix: what every healthy lab does, as expectations, a name for each kind.

It is made from the lab's objects: the first Service with endpoints that speaks TCP is tried from everywhere, all others
from pods and from outside. Where a Service chooses among endpoints, each is judged by itself (`shares: some`): a way
that is broken is told from one that is not, whoever is chosen.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from lab.exercise.ground import Front, Ground, asked, ground
from lab.exercise.outside import outside
from lab.model.cluster import Cluster, cluster_ips
from lab.model.exercise import Cell
from lab.model.lab import Answer, Expectation, Failure, Step

LARGE = 60_000
"""Bytes each way: many segments, as faults of the MTU need them."""
OTHERS = 8
"""So many other Services, of those with endpoints and of those without, are tried: a large lab has thousands."""
UDP_PORT = 40_053
"""The port of the UDP client that outlives a change of endpoints."""


def matrix(cluster: Cluster, *, sync: bool = True, now: Cluster | None = None) -> tuple[Cell, ...]:
    """Return the cells that mean something in a lab as `cluster` says it shall be.

    `sync`: kube-proxy follows changes of endpoints there. `now`: the lab as it has become; the cells are the same, but
    where pods go, so do those that a fix has added.
    """
    here = ground(cluster)
    found: list[Cell] = []
    if here.main is not None:
        found += [*_inside(here, here.main), *outside(here, here.main), *_direct(here, here.main)]
    found += _datagrams(here, sync=sync, now=ground(now) if now else here)
    others = [one for one in here.fronts if one.ends and one not in (here.main, here.datagrams)]
    found += [_other(here, one) for one in others[:OTHERS]]
    found += [_refused(here), _not_reachable(here)]
    return tuple(cell for cell in found if cell.expectations)


def _inside(here: Ground, main: Front) -> Iterator[Cell]:
    """Yield what pods and nodes see of the main Service's ClusterIP."""
    yield _hairpin(here, main, "hairpin", "a pod reaches itself by its Service")
    yield from _any_pod(here, main) if main.sticky else _near_and_far(here, main)
    it = "a node reaches the Service itself"
    usable = ((node, main.usable(node)) for node in here.nodes)
    yield _cell("from-node", it, (asked(it, f"node/{node}", main, to) for node, to in usable if to))
    yield _shares(here, main)


def _hairpin(here: Ground, front: Front, name: str, it: str) -> Cell:
    """Return what the first pod of each node sees of itself by its Service, unless it may stay with another pod."""
    firsts = [front.on(node)[0] for node in here.nodes if front.on(node)]
    return _cell(name, it, (asked(it, one.pod, front, [one]) for one in firsts if not front.sticky))


def _near_and_far(here: Ground, main: Front) -> Iterator[Cell]:
    """Yield what pods see of the main Service's pods on their own node and on others."""
    it = "a pod reaches the Service's pods on its node, which see its address"
    near = ((pod, main.on(node, but=pod)) for node, pod in here.askers.items())
    yield _cell("same-node", it, (asked(it, pod, main, to, keeps=here.kept(pod)) for pod, to in near if to))
    it = "a pod reaches the Service's pods on other nodes, which see its address"
    far = ((pod, set(main.off(node)) & set(main.usable(node))) for node, pod in here.askers.items())
    ends = ((pod, [one for one in main.ends if one in to]) for pod, to in far)
    yield _cell("remote-node", it, (asked(it, pod, main, to, keeps=here.kept(pod)) for pod, to in ends if to))


def _any_pod(here: Ground, main: Front) -> Iterator[Cell]:
    """Yield what pods see of a Service whose clients stay with one pod: it may be on any node."""
    it = "a pod reaches the Service, which sees its address"
    ends = ((pod, main.usable(node)) for node, pod in here.askers.items())
    yield _cell("from-pod", it, (asked(it, pod, main, to, keeps=here.kept(pod)) for pod, to in ends if to))


def _shares(here: Ground, main: Front) -> Cell:
    it = "a client stays with one pod" if main.sticky else "each of the Service's pods gets its share of the requests"
    several = [pod for node, pod in here.askers.items() if len(main.usable(node, but=pod)) > 1]
    wanted = (Expectation(it=it, from_=pod, to=main.to, shares="one" if main.sticky else "equal") for pod in several)
    return _cell("affinity" if main.sticky else "shares", it, wanted)


def _direct(here: Ground, main: Front) -> Iterator[Cell]:
    """Yield what pods and nodes see of pods, without any Service."""
    near, far = [], []
    for node, pod in here.askers.items():
        near += [(pod, one) for one in main.on(node, but=pod)[:1]]
        far += [(pod, one) for other in here.nodes if other != node for one in main.on(other)[:1]]
    for name, where, pairs in (("pod-to-pod", "its own", near), ("pod-to-pod-remote", "another", far)):
        it = f"a pod reaches a pod on {where} node directly, which sees its address"
        yield _cell(
            name, it, (_of(it, pod, f"{end.pod}:{end.port}", Answer(by=end.pod, source=pod)) for pod, end in pairs)
        )
    it = "a node reaches pods on other nodes"
    pairs = [
        (node, main.on(other)[0]) for node in here.nodes for other in here.nodes if other != node and main.on(other)
    ]
    yield _cell(
        "node-to-pod", it, (_of(it, f"node/{node}", f"{end.pod}:{end.port}", Answer(by=end.pod)) for node, end in pairs)
    )
    it = f"{LARGE // 1000} kB go from pod to pod, and back"
    pairs = near + far
    large = (Expectation(it=it, from_=pod, to=f"{end.pod}:{end.port}", size=LARGE) for pod, end in pairs)
    yield _cell("large", it, large)


def _of(it: str, asker: str, to: str, answer: Answer) -> Expectation:
    return Expectation(it=it, from_=asker, to=to, answer=answer)


def _datagrams(here: Ground, *, sync: bool, now: Ground) -> Iterator[Cell]:
    """Yield what pods see of the first Service that speaks UDP."""
    front = here.datagrams
    if front is None:
        return
    it = "pods reach the UDP Service's pods, which see their addresses"
    usable = ((pod, front.usable(node, but=pod)) for node, pod in here.askers.items())
    yield _cell("udp", it, (asked(it, pod, front, to, keeps=here.kept(pod)) for pod, to in usable if to))
    yield _hairpin(here, front, "udp-hairpin", "a pod reaches itself by its UDP Service")
    pods = tuple(end.pod for end in front.ends)
    asker = next((pod for node, pod in here.askers.items() if pod not in pods and front.usable(node) == front.ends), "")
    if not (sync and asker and len(pods) > 1) or front.sticky:
        return
    added = (end.pod for one in now.fronts if one.to == front.to for end in one.ends if end.pod not in pods)
    first, *rest = pods = (*pods, *added)
    it = "a UDP client that keeps its port is led to another pod when its own is gone"
    steps = (
        Step(it=f"{it}: the first pod goes", change={first: "unready"}, answer=Answer(by=tuple(rest))),
        Step(
            it=f"{it}: the others go",
            change={first: "ready", **dict.fromkeys(rest, "unready")},
            answer=Answer(by=first),
        ),
    )
    wanted = Expectation(
        it=it, from_=asker, to=front.to, protocol="udp", local_port=UDP_PORT, answer=Answer(by=pods), then=steps
    )
    yield _cell("udp-endpoint-change", it, [wanted], needs="udp")


def _other(here: Ground, front: Front) -> Cell:
    """Return what pods see of a Service that is not the main one."""
    name = front.to if len(front.service.spec.ports) > 1 else front.to.rpartition(":")[0]
    it = f"pods reach {name}"
    usable = ((pod, front.usable(node, but=pod)) for node, pod in here.askers.items())
    return _cell(name, it, (asked(it, pod, front, to) for pod, to in usable if to))


def _refused(here: Ground) -> Cell:
    it = "a Service without endpoints refuses at once"
    empty = [one for one in here.fronts if not one.ends][:OTHERS]
    sources = [*list(here.askers.values())[:1], *(f"node/{node}" for node in here.nodes[:1])]
    return _cell("refused", it, (_failing(it, source, one.to, one, "refused") for one in empty for source in sources))


def _not_reachable(here: Ground) -> Cell:
    it = "a ClusterIP means nothing outside the cluster"
    inner = [one for one in here.fronts if not any(map(here.routed, cluster_ips(one.service)))][:OTHERS]
    return _cell("not-reachable", it, (_failing(it, who, one.to, one, "any") for one in inner for who in here.clients))


def _failing(it: str, source: str, to: str, front: Front, error: Failure) -> Expectation:
    protocol: Literal["tcp", "udp"] = "udp" if front.protocol == "UDP" else "tcp"
    return Expectation(it=it, from_=source, to=to, protocol=protocol, error=error)


def _cell(name: str, it: str, expectations: Iterable[Expectation], *, needs: str = "") -> Cell:
    return Cell(name=name, it=it, expectations=tuple(expectations), needs=needs)
