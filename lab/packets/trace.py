"""One request, and all that the kernel tells of its packets: the evidence of which `lab.journey` makes a journey.

Everything is done inside the capsule, in two processes: one makes the request, the other stores what the kernel tells
meanwhile (`lab.kernel.trace`). What stands around the packets, rules, links, routes, flows, is asked for afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from lab.model.address import IPAddress
from lab.model.cluster import Cluster, pod_addresses, pod_netns
from lab.model.interfaces import interfaces
from lab.model.request import Request, Transport
from lab.model.trace import Job
from lab.parse import target as targets
from lab.parse.place import Place, places
from lab.standing import live, observe
from lab.standing.session import Standing

if TYPE_CHECKING:
    from lab.model.address import Family
    from lab.model.trace import Evidence

MOST_PODS = 64
"""Of so many pods that may answer the packets are looked at inside; of more, only where they leave the node."""

MOST_ENDS = 4000
"""So many addresses to which the request may be sent are asked for; further ones only where the asker's is seen, too.

What an unprivileged user may send to nf_tables at once is not much more (net.core.wmem_default).
"""


def trace(  # noqa: PLR0913 - the request's own numbers
    lab: Standing,
    source: str,
    to: str,
    *,
    port: int | None = None,
    protocol: Transport = "tcp",
    family: Family | None = None,
    local_port: int = 0,
    timeout_s: float = 2.0,
    size: int = 0,
    whole: bool = False,
) -> Evidence:
    """Send one request from a pod, node or client to whatever `to` names, and return what the kernel told of it.

    `size`: bytes to send, and to ask for; 0: few. `whole`: list all tables of the machines whose rules it met, also
    those that stayed silent; this takes longer.

    Nobody changes the lab meanwhile. Raises `TopologyError` if either is unknown or a number makes no sense,
    `KernelError` if the kernel refuses.
    """
    observe.check_numbers(1, local_port, timeout_s, size)
    with live.steady(lab) as standing:
        request, _ = observe.request(standing.cluster, source, to, port=port, protocol=protocol, family=family)
        request = replace(request, local_port=local_port, timeout_s=timeout_s, size=size)
        return of(standing, request, whole=whole)


def of(lab: Standing, request: Request, *, whole: bool = False) -> Evidence:
    """Make a request and return its evidence; for whoever sees to it that nobody changes the lab meanwhile."""
    from lab.packets import tracing  # noqa: PLC0415 - what works inside; loaded here, so that it is there when it is forked

    return lab.call(partial(tracing.work, job(lab.cluster, request, whole=whole)))


def job(cluster: Cluster, request: Request, *, whole: bool = False) -> Job:
    """Return what is to be traced of a request."""
    from lab.standing.sync import tool  # noqa: PLC0415 - it loads netlink

    known = places(cluster)
    asker = [one for one in known if one.netns == request.netns]
    ends = observe.ends(cluster, request)
    return Job(
        request=request,
        tool=tool(cluster),
        places=_places(cluster, known, request.netns, {address for address, _ in ends}),
        nodes=tuple(observe.node_names(cluster)),
        names=targets.names(cluster),
        ends=ends[:MOST_ENDS],
        askers=tuple(_askers(cluster, asker, request)),
        whole=whole,
        service=observe.service_port(cluster, request),
    )


def _places(cluster: Cluster, known: Sequence[Place], asker: str, ends: set[IPAddress]) -> dict[str, str]:
    """Return what to look at: nodes, router, clients, who asks, and the pods that may answer, if they are not many."""
    pods = [pod_netns(pod) for pod in cluster.pods if ends.intersection(pod_addresses(pod))]
    wanted = {asker, *(pods if len(pods) <= MOST_PODS else ())}
    found: dict[str, Place] = {}
    for one in known:
        if one.kind in ("node", "client", "router") or (one.kind == "pod" and one.netns in wanted):
            found.setdefault(one.netns, one)
            if one.kind != "pod":  # a node's namespace is the node's
                found[one.netns] = one
    return {netns: one.short for netns, one in found.items()}


def _askers(cluster: Cluster, asker: Iterable[Place], request: Request) -> Iterator[IPAddress]:
    version = request.address.version
    for one in asker:
        yield from (address for address in one.addresses if address.version == version)
    for node in cluster.nodes:
        if node.metadata.name == request.netns:
            for addresses in interfaces(cluster, node).values():
                yield from (address for address in addresses if address.version == version)
