"""What `lab.watch` sees happen on the nodes of a lab: what rules do, flows, and what was lost meanwhile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lab.model.flow import Flow, Tuple
from lab.model.trace import Tool

VERSION = "hairpin/v1alpha1"
"""Of the JSON that each is printed as; docs/watch.md."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FlowChange:
    """A flow began (`new`), changed or ended. `time_ns`, since the epoch, is when it was read.

    The flow of an `update` has a `tcp_state` only if that is new. `counted` is told at the end.
    """

    time_ns: int
    kind: Literal["new", "update", "destroy"]
    flow: Flow

    @property
    def node(self) -> str:
        """The node whose conntrack told it."""
        return self.flow.node


Deed = Literal["dnat", "masquerade", "snat", "mark", "untracked", "act", "reject", "drop"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Hit:
    """A rule that did something to a packet. `path`: the chains that led to it, from the base chain to its own.

    `tool`: what made its table, None if that is not known.
    `mark`: of a `mark`, the packet's behind the rule, None if that is not known. `text` is the rule's as it is listed,
    "" for a chain's policy, and where the listing does not have it; `handle` is nft's, `number` which rule of its chain
    it is, from 1; 0: not known.
    """

    deed: Deed
    family: str
    table: str
    path: tuple[str, ...]
    tool: Tool | None = None
    mark: int | None = None
    text: str = ""
    comment: str = ""
    handle: int = 0
    number: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class RuleHits:
    """What rules did with the first packet of a connection on a node: `original` is how it came there.

    `service`: the service port (`namespace/name:port`) that they are of, "" for none. `end`: what became of a packet
    that went no further.
    """

    time_ns: int
    node: str
    protocol: str
    original: Tuple
    service: str
    hits: tuple[Hit, ...]
    end: Literal["", "reject", "drop"] = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Loss:
    """The kernel had no room for `number` more events of `what` on a node: who watches was too slow.

    Of `iptables-legacy` it tells another listener; nobody knows of how many events, so `number` is None.
    """

    time_ns: int
    node: str
    what: Literal["conntrack", "rules", "iptables-legacy"]
    number: int | None


Seen = RuleHits | FlowChange | Loss
