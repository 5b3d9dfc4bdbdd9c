"""What came of an expectation's requests, and what its names stand for: all that `lab.judge` needs to know."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lab.model.address import IPAddress
    from lab.model.flow import Flow
    from lab.model.journey import Journey
    from lab.model.request import Reply


@dataclass(frozen=True, kw_only=True, slots=True)
class Observation:
    """The replies to an expectation's requests, in order, and what was seen of the first one.

    `askers`: who asked, for each reply. `before`: for each asker, the pod that answered it in the step before.
    `flows`: the request's own, of all nodes; see `lab.judge.matching`. `journey`: if it was traced; `lost`: what of its
    evidence was, in words ("": nothing).
    """

    replies: tuple[Reply, ...]
    askers: tuple[str, ...] = ()
    before: Mapping[str, str] = field(default_factory=dict)
    flows: tuple[Flow, ...] = ()
    journey: Journey | None = None
    lost: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Resolved:
    """What the words of an expectation stand for in a cluster.

    `addresses`: for each name that the expectation gives as a source, a DNAT or an SNAT, the addresses that it has.
    `endpoints`: the names of the pods behind `to`, as `Reply.pod` gives them: whose shares count if `by` names none.
    `names`: a name for each address of the cluster, for the findings' words.
    """

    addresses: Mapping[str, frozenset[IPAddress]] = field(default_factory=dict)
    endpoints: tuple[str, ...] = ()
    names: Mapping[IPAddress, str] = field(default_factory=dict)
