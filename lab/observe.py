"""What a standing lab shows: replies to requests, flows, health, and whether its expectations hold."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from lab import judge
from lab.errors import TopologyError
from lab.model.address import IPAddress
from lab.model.cluster import Cluster, node_addresses
from lab.model.finding import Finding
from lab.model.flow import Flow
from lab.model.kubernetes import HIGHEST_PORT
from lab.model.lab import Expectation
from lab.model.observation import Observation, Resolved
from lab.model.request import Reply, Request, Transport
from lab.model.status import Status, service_rows, shown, status_of
from lab.parse import target as targets
from lab.session import Standing, probes

CURLS = 100
"""Up to so many requests are real curl processes; beyond, sockets of our own, some ten times faster."""

MOST_REQUESTS = 1_000_000
LONGEST_WAIT_S = 3600

AT_ONCE = 4
"""So many requests are under way at a time: enough to keep busy, few enough for the latency to mean something."""

SILENCE_S = 1.5
"""How long to wait, in seconds, where no answer is expected.

An answer takes about a millisecond, but a refusal may take a second: an ICMP error that arrives while connect(2) still
has the socket is only heard when the SYN is sent again (tcp(7), RFC 6298: after 1 s).
"""

ANSWER_S = 3.0
"""How long to wait, in seconds, for an answer that is expected: time to send a SYN again, twice."""

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
    _check_numbers(count, local_port, timeout_s)
    request, endpoints = _request(lab.cluster, source, to, port=port, protocol=protocol)
    request = replace(request, local_port=local_port, timeout_s=timeout_s)
    # curl cannot take a local port again while its last connection is in TIME_WAIT; our sockets leave that state to
    # the server.
    how = "curl" if protocol == "tcp" and count <= CURLS and not local_port else "sockets"
    replies = lab.call(partial(_send, [request] * count, how, 1 if local_port else AT_ONCE))
    return Asked(request=request, replies=tuple(replies), how=how, endpoints=endpoints)


def _check_numbers(count: int, local_port: int, timeout_s: float) -> None:
    mistakes = []
    if not 1 <= count <= MOST_REQUESTS:
        mistakes.append(f"--count {count}: expected 1 to {MOST_REQUESTS}")
    if not 0 <= local_port <= HIGHEST_PORT:
        mistakes.append(f"--local-port {local_port}: expected a port, 1 to {HIGHEST_PORT}")
    if not 0 < timeout_s <= LONGEST_WAIT_S:
        mistakes.append(f"--timeout {timeout_s}: expected more than 0 and at most {LONGEST_WAIT_S} seconds")
    if mistakes:
        raise TopologyError(mistakes)


def _send(wanted: list[Request], how: str, concurrency: int) -> list[Reply]:
    """Inside the capsule: make the requests."""
    from lab import curl, traffic  # noqa: PLC0415 - each way has its own needs

    if how == "curl":
        return curl.curl(wanted, at_a_time=concurrency)
    return traffic.requests(wanted, concurrency=concurrency)


def _request(
    cluster: Cluster, source: str, to: str, *, port: int | None, protocol: Transport
) -> tuple[Request, tuple[str, ...]]:
    """Return the request that `source` would make, and the pods that may answer it."""
    asker = targets.target(cluster, source)
    goal = targets.destination(cluster, to, source=asker, protocol=protocol, port=port)
    request = Request(
        netns=asker.netns, address=goal.address, port=goal.port, protocol=protocol, path=goal.path, host=goal.host
    )
    return request, _behind(cluster, goal, protocol)


def _behind(cluster: Cluster, goal: targets.Destination, protocol: Transport) -> tuple[str, ...]:
    """Return the pods behind an address and port, whether that is a pod's, a Service's or a node's."""
    if goal.kind == "pod":
        return (goal.name.rpartition("/")[2],)
    nodes = {address for node in cluster.nodes for address in node_addresses(node)}
    for service in service_rows(cluster):
        for port in service.ports:
            by_service = goal.address in (*service.cluster_ips, *service.external) and goal.port == port.port
            by_node = goal.port == port.node_port and (goal.address in nodes or goal.address.is_loopback)
            if port.protocol == protocol.upper() and (by_service or by_node):
                return tuple(endpoint.pod for endpoint in port.endpoints if endpoint.ready and endpoint.pod)
    return ()


def names(lab: Standing) -> dict[IPAddress, str]:
    """Return a name for each address of the lab."""
    return targets.names(lab.cluster)


def flows(lab: Standing, nodes: Sequence[str], source: str = "") -> tuple[Flow, ...]:
    """Return what conntrack holds on `nodes`, or on all of them if none is named; all of it, or what `source` began.

    Raises `TopologyError` if there is no such node or source.
    """
    begun_by = targets.sources(lab.cluster, source) if source else None
    places = [targets.node(lab.cluster, name) for name in nodes]
    found = lab.call(partial(_flows, [place.netns for place in places] or _node_names(lab.cluster)))
    return tuple(flow for flow in found if begun_by is None or flow.original.src in begun_by)


def _node_names(cluster: Cluster) -> list[str]:
    return [node.metadata.name for node in cluster.nodes]


def _flows(nodes: Sequence[str]) -> tuple[Flow, ...]:
    """Inside the capsule: read the nodes' conntrack tables."""
    from lab.kernel import conntrack, netns  # noqa: PLC0415 - pyroute2 is slow to load
    from lab.parse import conntrack as entries  # noqa: PLC0415

    found: list[Flow] = []
    for node in nodes:
        with netns.inside(node):
            found += entries.flows(node, conntrack.dump())
    return tuple(found)


def status(lab: Standing) -> Status:
    """Return what stands in the lab, and whether each pod answers on its ports just now."""
    from lab import traffic  # noqa: PLC0415

    asked = probes(lab.cluster)
    replies = lab.call(lambda: traffic.requests([replace(probe.request, timeout_s=HEALTH_S) for probe in asked]))
    health: dict[str, float | None] = {}
    for probe, reply in zip(asked, replies, strict=True):
        name = shown(probe.pod.metadata)
        slowest = health.get(name, 0.0)
        health[name] = None if slowest is None or probe.complaint(reply) else max(slowest, reply.latency_s)
    record = lab.record
    age_s = time.time() - record.created
    return status_of(lab.cluster, lab=lab.name, keeper_pid=record.keeper.pid, age_s=age_s, health=health)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What `check` found: the findings of each expectation, and the expectations that are for other labs."""

    judged: tuple[tuple[Finding, ...], ...]
    left_out: tuple[Expectation, ...]

    @property
    def holds(self) -> bool:
        """Whether every finding does."""
        return all(finding.holds for findings in self.judged for finding in findings)


@dataclass(frozen=True, kw_only=True)
class _Case:
    """One expectation, ready to be tried: `count` times the same request."""

    expectation: Expectation
    request: Request
    count: int
    resolved: Resolved


def check(lab: Standing, progress: Callable[[str, int, int], None]) -> Verdict:
    """Make the requests of the topology's expectations, and judge what clients, servers and conntrack saw."""
    cluster = lab.cluster
    known = targets.names(cluster)
    meant = [expectation for expectation in cluster.spec.expect if judge.applies(expectation, cluster)]
    cases = [_case_or_finding(cluster, expectation, known) for expectation in meant]
    to_try = [case for case in cases if isinstance(case, _Case)]
    observed = iter(lab.call(partial(_observe, to_try, _node_names(cluster), progress)))
    return Verdict(
        judged=tuple(
            judge.judge(case.expectation, next(observed), case.resolved) if isinstance(case, _Case) else (case,)
            for case in cases
        ),
        left_out=tuple(expectation for expectation in cluster.spec.expect if expectation not in meant),
    )


def _case_or_finding(cluster: Cluster, expectation: Expectation, known: dict[IPAddress, str]) -> _Case | Finding:
    """Return how to try an expectation; or the finding that what it names is not there (any more)."""
    try:
        return _case(cluster, expectation, known)
    except TopologyError as error:
        return Finding(it=expectation.it, what="names", expected="each is there", observed=error.message, holds=False)


def _case(cluster: Cluster, expectation: Expectation, known: dict[IPAddress, str]) -> _Case:
    request, endpoints = _request(
        cluster, expectation.from_, expectation.to, port=expectation.port, protocol=expectation.protocol
    )
    request = replace(request, timeout_s=SILENCE_S if expectation.error == "timeout" else ANSWER_S)
    resolved = Resolved(
        addresses={name: targets.sources(cluster, name) for name in judge.names(expectation)},
        endpoints=endpoints,
        names=known,
    )
    count = judge.requests_needed(expectation, resolved)
    return _Case(expectation=expectation, request=request, count=count, resolved=resolved)


def _observe(
    cases: Sequence[_Case], nodes: Sequence[str], progress: Callable[[str, int, int], None]
) -> list[Observation]:
    """Inside the capsule: send every request, then read what the nodes' conntrack holds of the first ones."""
    from lab import traffic  # noqa: PLC0415

    wanted = [case.request for case in cases for _ in range(case.count)]
    progress("requests", 0, len(wanted))
    replies = iter(traffic.requests(wanted))
    answered = [tuple(next(replies) for _ in range(case.count)) for case in cases]
    progress("requests", len(wanted), len(wanted))
    every = _flows(nodes) if any(judge.flow_expectations(case.expectation) for case in cases) else ()
    return [
        Observation(
            replies=mine,
            flows=judge.matching(every, mine[0], case.request.address, case.request.port, case.request.protocol),
        )
        for case, mine in zip(cases, answered, strict=True)
    ]
