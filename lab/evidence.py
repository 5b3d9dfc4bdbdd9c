"""What to look at when an expectation fails: the flows of its requests, and the rules that they met."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain

from lab import judge
from lab.model.cluster import Cluster, cluster_ips, external_addresses, node_addresses, pod_netns
from lab.model.evidence import Evidence
from lab.model.installed import Installed
from lab.model.kubernetes import Service
from lab.model.request import Reply, Request
from lab.model.status import shown
from lab.standing import installed, observe
from lab.standing.session import Standing

KINDS = 4
"""Of so many kinds of replies (one error, or one pod) the first one's flows are shown."""

NODES = 3
"""On so many nodes the rules are shown: that of who asks, and those that translated."""


def gather(lab: Standing, it: str, asked: Sequence[tuple[Request, Reply]]) -> Evidence:
    """Return what the lab shows of requests that have just been made, whose outcome was not as `it` says."""
    cluster = lab.cluster
    every = observe.flows(lab, [])
    telling = _telling(asked)
    own = [judge.matching(every, reply, one.address, one.port, one.protocol) for one, reply in telling]
    flows = tuple(dict.fromkeys(chain.from_iterable(own)))
    service = _service(cluster, asked[0][0])
    translating = (flow.node for flow in flows if flow.dnat or flow.snat)
    there = dict.fromkeys((*translating, *_home(cluster, asked[0][0])))
    return Evidence(
        it=it,
        flows=flows,
        service=shown(service.metadata) if service else "",
        rules=_rules(lab, service, list(there)[:NODES]) if service else (),
        names=observe.names(lab),
    )


def _telling(asked: Iterable[tuple[Request, Reply]]) -> list[tuple[Request, Reply]]:
    """Return the first request of each outcome."""
    first: dict[tuple[str, str], tuple[Request, Reply]] = {}
    for request, reply in asked:
        first.setdefault((reply.error, reply.pod), (request, reply))
    return list(first.values())[:KINDS]


def _home(cluster: Cluster, request: Request) -> list[str]:
    """Return the node that the request is made on, or, if it is made outside, every node."""
    nodes = observe.node_names(cluster)
    on = {pod_netns(pod): pod.spec.node_name for pod in cluster.pods} | {name: name for name in nodes}
    return [on[request.netns]] if request.netns in on else nodes


def _service(cluster: Cluster, request: Request) -> Service | None:
    """Return the Service that a request goes to."""
    nodes = set(chain.from_iterable(node_addresses(node) for node in cluster.nodes))
    by_node = request.address in nodes or request.address.is_loopback
    for service in cluster.services:
        if request.address in (*cluster_ips(service), *external_addresses(service)):
            return service
        if by_node and any(port.node_port == request.port for port in service.spec.ports):
            return service
    return None


def _rules(lab: Standing, service: Service, nodes: Sequence[str]) -> tuple[Installed, ...]:
    return tuple(chain.from_iterable(installed.rules(lab, node=node, of=service) for node in nodes))
