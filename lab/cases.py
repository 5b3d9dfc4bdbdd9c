"""An expectation, or a step of one, to the requests that try it, in a lab as it is just then."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from lab import judge
from lab.controllers.expect import askers, in_short
from lab.errors import TopologyError
from lab.model.address import IPAddress
from lab.model.cluster import Cluster
from lab.model.finding import Finding
from lab.model.flow import Flow
from lab.model.lab import Expectation, Step
from lab.model.observation import Observation, Resolved
from lab.model.request import Reply, Request
from lab.parse import target as targets
from lab.parse.place import Place, places
from lab.standing import observe

SILENCE_S = 1.5
"""How long to wait, in seconds, where no answer is expected.

An answer takes about a millisecond, and so does a refusal; one that arrives while a system call has the socket may only
be heard when the SYN is sent again (tcp(7), RFC 6298: after 1 s).
"""

ANSWER_S = 3.0
"""How long to wait, in seconds, for an answer that is expected: time to send a SYN again, after 1 s."""

UNREACHABLE_S = 5.0
"""How long to wait, in seconds, to hear that there is no way: a neighbour is given up after 3 s (arp(7))."""


@dataclass(frozen=True, kw_only=True)
class Known:
    """What has a name in a lab, and a name for each address."""

    places: list[Place]
    names: Mapping[IPAddress, str]

    @classmethod
    def of(cls, cluster: Cluster) -> Known:
        """Return what is known of a lab as it is now."""
        return cls(places=places(cluster), names=targets.names(cluster))


@dataclass(frozen=True, kw_only=True)
class Case:
    """An expectation, or a step of one, ready to be tried: each asker makes its request `count` times.

    `ends`: the addresses and ports that the requests' packets may be sent to.
    """

    wanted: Expectation | Step
    requests: tuple[Request, ...]
    ends: tuple[tuple[IPAddress, int], ...]
    askers: tuple[str, ...]
    count: int
    resolved: Resolved

    def in_full(self) -> list[Request]:
        """Return every request, an asker's one after another."""
        return [request for request in self.requests for _ in range(self.count)]

    def others(self) -> list[Request]:
        """Return every request but each asker's first."""
        return [request for request in self.requests for _ in range(self.count - 1)]

    def in_order(self, firsts: Iterator[Reply], others: Iterator[Reply]) -> list[Reply]:
        """Return the replies to the requests `in_full`, given those to `requests` and those to the `others`."""
        return [reply for _ in self.requests for reply in (next(firsts), *islice(others, self.count - 1))]

    def observation(self, replies: Sequence[Reply], flows: Sequence[Flow]) -> Observation:
        """Return what was observed, given the replies to the requests `in_full`, and whatever flows the nodes have."""
        first, names = self.requests[0], tuple(name for name in self.askers for _ in range(self.count))
        own = judge.matching(flows, replies[0], first.address, first.port, first.protocol)
        return Observation(replies=tuple(replies), askers=names, flows=own)


def case_or_finding(
    cluster: Cluster, expectation: Expectation, wanted: Expectation | Step, known: Known
) -> Case | Finding:
    """Return how to try an expectation or a step; or the finding that what it names is not there (any more)."""
    try:
        return _case(cluster, expectation, wanted, known)
    except TopologyError as error:
        return Finding(it=wanted.it, what="names", expected="each is there", observed=error.message, holds=False)


def _case(cluster: Cluster, expectation: Expectation, wanted: Expectation | Step, known: Known) -> Case:
    asking = askers(cluster, known.places, expectation.from_)
    requests, endpoints = observe.requests_among(
        cluster,
        known.places,
        asking,
        expectation.to,
        port=expectation.port,
        protocol=expectation.protocol,
        family=expectation.family,
    )
    wanted = in_short(known.places, wanted)
    timeout_s = {"timeout": SILENCE_S, "any": SILENCE_S, "unreachable": UNREACHABLE_S}.get(wanted.error or "", ANSWER_S)
    local_port, held = expectation.local_port or 0, expectation.connections > 0
    resolved = Resolved(
        addresses={name: targets.sources_among(cluster, known.places, name) for name in judge.names(wanted)},
        endpoints=endpoints,
        names=known.names,
    )
    return Case(
        wanted=wanted,
        requests=tuple(
            replace(request, timeout_s=timeout_s, local_port=local_port, size=expectation.size, hold=held)
            for request in requests
        ),
        ends=observe.ends(cluster, requests[0]),
        askers=tuple(place.short for place in asking),
        count=expectation.connections
        or (1 if local_port else judge.requests_needed(wanted, resolved, askers=len(asking))),
        resolved=resolved,
    )
