"""What a standing lab shows: replies to requests, flows, health."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from lab.errors import TopologyError
from lab.model.address import Family, IPAddress
from lab.model.cluster import Cluster, node_addresses
from lab.model.flow import Flow
from lab.model.kubernetes import HIGHEST_PORT
from lab.model.lab import MOST_BYTES
from lab.model.request import Reply, Request, Transport
from lab.model.status import PortRow, ServiceRow, Status, service_rows, shown, status_of
from lab.parse import target as targets
from lab.parse.mistake import listed
from lab.parse.place import Place, places
from lab.proxy.names import service_port_name
from lab.standing.session import Standing, probes

CURLS = 100
"""Up to so many requests are real curl processes; beyond, sockets of our own, some ten times faster."""

MOST_REQUESTS = 1_000_000
LONGEST_WAIT_S = 3600

AT_ONCE = 4
"""So many requests are under way at a time: enough to keep busy, few enough for the latency to mean something."""

HEALTH_S = 2.0
"""How long a pod's answer to `status` may take, in seconds; milliseconds do, but a SYN is sent again after 1 s."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Requests of one kind and what came of them; `how` is `curl` or `sockets`, `endpoints` are who may answer."""

    request: Request
    replies: tuple[Reply, ...]
    how: str
    endpoints: tuple[str, ...]


def ask(
    lab: Standing,
    source: str,
    to: str,
    *,
    port: int | None = None,
    protocol: Transport = "tcp",
    count: int = 1,
    local_port: int = 0,
    timeout_s: float = 5.0,
) -> Asked:
    """Send `count` requests from a pod, node or client to whatever `to` names, and return the replies.

    Raises `TopologyError` if either is unknown, or a number makes no sense.
    """
    check_numbers(count, local_port, timeout_s)
    asked, endpoints = request(lab.cluster, source, to, port=port, protocol=protocol)
    asked = replace(asked, local_port=local_port, timeout_s=timeout_s)
    # curl cannot take a local port again while its last connection is in TIME_WAIT; our sockets leave that state to
    # the server.
    how = "curl" if protocol == "tcp" and count <= CURLS and not local_port else "sockets"
    replies = lab.call(partial(_send, [asked] * count, how, 1 if local_port else AT_ONCE))
    return Asked(request=asked, replies=tuple(replies), how=how, endpoints=endpoints)


def check_numbers(count: int, local_port: int, timeout_s: float, size: int = 0) -> None:
    """Raise `TopologyError` with each of a request's numbers that makes no sense; 0: any `local_port`, and `size`."""
    mistakes = []
    if not 1 <= count <= MOST_REQUESTS:
        mistakes.append(f"--count {count}: expected 1 to {MOST_REQUESTS}")
    if not 0 <= local_port <= HIGHEST_PORT:
        mistakes.append(f"--local-port {local_port}: expected a port, 1 to {HIGHEST_PORT}")
    if not 0 < timeout_s <= LONGEST_WAIT_S:
        mistakes.append(f"--timeout {timeout_s}: expected more than 0 and at most {LONGEST_WAIT_S} seconds")
    if not 0 <= size <= MOST_BYTES:
        mistakes.append(f"--size {size}: expected bytes, 1 to {MOST_BYTES}, or 0 for few")
    if mistakes:
        raise TopologyError(mistakes)


def _send(wanted: list[Request], how: str, concurrency: int) -> list[Reply]:
    """Inside the capsule: make the requests."""
    from lab.ask import curl, traffic  # noqa: PLC0415 - each way has its own needs

    if how == "curl":
        return curl.curl(wanted, at_a_time=concurrency)
    return traffic.requests(wanted, concurrency=concurrency)


def request(
    cluster: Cluster, source: str, to: str, *, port: int | None, protocol: Transport, family: Family | None = None
) -> tuple[Request, tuple[str, ...]]:
    """Return the request that `source` would make, and the pods that may answer it."""
    known = places(cluster)
    (wanted,), endpoints = requests_among(
        cluster, known, [targets.target_among(known, source)], to, port=port, protocol=protocol, family=family
    )
    return wanted, endpoints


def requests_among(
    cluster: Cluster,
    known: list[Place],
    askers: Sequence[Place],
    to: str,
    *,
    port: int | None,
    protocol: Transport,
    family: Family | None = None,
) -> tuple[tuple[Request, ...], tuple[str, ...]]:
    """Return the request that each asker would make, as `request` does, of a lab's `places`."""
    goals = [
        targets.destination_among(known, to, source=asker, protocol=protocol, port=port, family=family)
        for asker in askers
    ]
    wanted = (
        Request(
            netns=asker.netns, address=goal.address, port=goal.port, protocol=protocol, path=goal.path, host=goal.host
        )
        for asker, goal in zip(askers, goals, strict=True)
    )
    return tuple(wanted), _behind(cluster, goals[0], protocol)


def _behind(cluster: Cluster, goal: targets.Destination, protocol: Transport) -> tuple[str, ...]:
    """Return the pods behind an address and port, whether that is a pod's, a Service's or a node's."""
    if goal.kind == "pod":
        return (goal.name,)
    for service in service_rows(cluster):
        if goal.name == f"svc/{service.name}" and not service.cluster_ips:  # headless: DNS gave a pod's address
            found = (one for port in service.ports for one in port.endpoints if one.address == goal.address)
            return tuple(dict.fromkeys(one.pod for one in found if one.pod))
    for port in ports_behind(cluster, goal.address, goal.port, protocol):
        ready = (one.pod for one in port.endpoints if one.ready and one.pod)
        return tuple(dict.fromkeys(ready))  # a dual-stack pod is an endpoint twice
    return ()


def ports_behind(cluster: Cluster, address: IPAddress, number: int, protocol: Transport) -> tuple[PortRow, ...]:
    """Return the Services' ports that an address and port stand for: a ClusterIP's, a node's, or one from outside."""
    return tuple(port for _, port in _behind_socket(cluster, address, number, protocol))


def service_port(cluster: Cluster, asked: Request) -> str:
    """Return the service port (`namespace/name:port`) that a request asks for, by the lab's objects; "" for none."""
    for service, port in _behind_socket(cluster, asked.address, asked.port, asked.protocol):
        namespace, _, name = service.name.rpartition("/")
        return service_port_name(namespace or "default", name, port.name)
    return ""


def _behind_socket(
    cluster: Cluster, address: IPAddress, number: int, protocol: Transport
) -> Iterator[tuple[ServiceRow, PortRow]]:
    nodes = {one for node in cluster.nodes for one in node_addresses(node)}
    return (
        (service, port)
        for service in service_rows(cluster)
        for port in service.ports
        if port.protocol == protocol.upper()
        and (
            (number == port.port and address in (*service.cluster_ips, *service.external))
            or (number == port.node_port and (address in nodes or address.is_loopback))
        )
    )


def ends(cluster: Cluster, asked: Request) -> tuple[tuple[IPAddress, int], ...]:
    """Return the addresses and ports that a request's packets may be sent to: first its own, then the endpoints'."""
    ports = ports_behind(cluster, asked.address, asked.port, asked.protocol)
    behind = [(one.address, one.port) for port in ports for one in port.endpoints]
    same_family = [(address, port) for address, port in behind if address.version == asked.address.version]
    return tuple(dict.fromkeys([(asked.address, asked.port), *same_family]))


def missing_port(cluster: Cluster, asked: Request) -> str:
    """Return in words that a request goes to a port that its Service has not; "" if it has, or it is to no Service."""
    if ports_behind(cluster, asked.address, asked.port, asked.protocol):
        return ""
    for service in service_rows(cluster):
        if asked.address in (*service.cluster_ips, *service.external):
            own = listed(f"{port.port}/{port.protocol.lower()}" for port in service.ports)
            return f"svc/{service.name} has no port {asked.port}/{asked.protocol}, but {own}"
    return ""


def names(lab: Standing) -> dict[IPAddress, str]:
    """Return a name for each address of the lab."""
    return targets.names(lab.cluster)


def flows(lab: Standing, nodes: Sequence[str], source: str = "") -> tuple[Flow, ...]:
    """Return what conntrack holds on `nodes`, or on all of them if none is named; all of it, or what `source` began.

    Raises `TopologyError` if there is no such node or source.
    """
    begun_by = targets.sources(lab.cluster, source) if source else None
    places = [targets.node(lab.cluster, name) for name in nodes]
    found = lab.call(partial(flows_on, [place.netns for place in places] or node_names(lab.cluster)))
    return tuple(flow for flow in found if begun_by is None or flow.original.src in begun_by)


def node_names(cluster: Cluster) -> list[str]:
    """Return the names of a cluster's nodes, which are those of their namespaces."""
    return [node.metadata.name for node in cluster.nodes]


def flows_on(nodes: Sequence[str]) -> tuple[Flow, ...]:
    """Inside the capsule: read the nodes' conntrack tables."""
    from lab.kernel import conntrack, netns  # noqa: PLC0415 - only needed in there
    from lab.parse import conntrack as entries  # noqa: PLC0415 - as above

    found: list[Flow] = []
    for node in nodes:
        with netns.inside(node):
            found += entries.flows(node, conntrack.dump())
    return tuple(found)


def status(lab: Standing) -> Status:
    """Return what stands in the lab, and whether each pod answers on its ports just now."""
    from lab.ask import traffic  # noqa: PLC0415 - each way has its own needs
    from lab.plan.runs import runs  # noqa: PLC0415 - as above
    from lab.standing import programs, state  # noqa: PLC0415 - each way has its own needs

    asked = probes(lab.cluster)
    ran = list(runs(lab.cluster))
    log = state.root() / lab.name / state.LOG
    replies, processes = lab.call(
        lambda: (
            traffic.requests([replace(probe.request, timeout_s=HEALTH_S) for probe in asked]),
            programs.states(ran, log),
        )
    )
    health: dict[str, float | None] = {}
    for probe, reply in zip(asked, replies, strict=True):
        name = shown(probe.pod.metadata)
        slowest = health.get(name, 0.0)
        health[name] = None if slowest is None or probe.complaint(reply) else max(slowest, reply.latency_s)
    record = lab.record
    age_s = time.time() - record.created
    found = status_of(
        lab.cluster,
        lab=lab.name,
        keeper_pid=record.keeper.pid,
        age_s=age_s,
        health=health,
        processes=processes,
    )
    return replace(found, rules=record.rules)
