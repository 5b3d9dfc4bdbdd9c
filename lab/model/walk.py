"""A packet's way through the rules of one node, as told by `lab.proxy.walk`: packet, step, fate, way."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

from lab.model.address import Family, IPAddress, IPNetwork, family_of
from lab.model.netfilter import Hook, Rule

Protocol = Literal["tcp", "udp", "sctp"]


@dataclass(frozen=True, slots=True)
class Assumption:
    """An answer that is not known, and taken for given on one way: there is another way with the other answer.

    `text` says it in words, with the answer (`it comes in by eth0`). `subject` tells the question from other ones.
    `field`: which of the packet's fields is asked for, if one is; `value`: what it then is, "" if that says too little.
    """

    text: str
    holds: bool
    subject: str = field(repr=False)
    field: str = ""
    value: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Packet:
    """The first packet of a connection. `source_port` 0: not said; `protocol` is lower case (`tcp`).

    `dnat` and `masqueraded`: what was translated so far; `new_source`: to which source, None if it is the node's own.
    `service`: the service port (`namespace/name:port`) that the rules on its way name.
    `assumed`: what cannot be known, and is taken for given.
    """

    source: IPAddress
    destination: IPAddress
    destination_port: int
    source_port: int = 0
    protocol: Protocol = "tcp"
    mark: int = 0
    ct_mark: int = 0
    dnat: bool = False
    masqueraded: bool = False
    new_source: IPAddress | None = None
    service: str = ""
    assumed: tuple[Assumption, ...] = ()

    @property
    def family(self) -> Family:
        """The family of its addresses."""
        return family_of(self.destination)


@dataclass(frozen=True, kw_only=True, slots=True)
class Vantage:
    """The node that the rules are on, as far as the walk needs to know it.

    `addresses`: the node's own, beside loopback. `pods`: ranges of the pods on this node.
    `pod_interface` and `outside_interface`: where packets from and to these come in and go out ("": not known).
    `in_interface` and `out_interface`: where this one does, whatever its addresses say.
    `pod_is_bridged`: whether the former is a bridge whose frames pass iptables too, as br_netfilter makes them (None:
    not known).
    `inferred` says, a sentence each, what was not told but concluded.
    """

    name: str = "the node"
    addresses: frozenset[IPAddress] = frozenset()
    pods: tuple[IPNetwork, ...] = ()
    pod_interface: str = ""
    outside_interface: str = ""
    in_interface: str = ""
    out_interface: str = ""
    pod_is_bridged: bool | None = None
    inferred: tuple[str, ...] = ()

    def is_local(self, address: IPAddress) -> bool:
        """Return whether the node itself has the address: one of its own, or any of 127.0.0.0/8 or ::1."""
        return address.is_loopback or address in self.addresses

    def is_pod(self, address: IPAddress) -> bool:
        """Return whether a pod on this node may have the address."""
        return any(address in network for network in self.pods)


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One rule that a packet met, or one thing that happened to it between rules (`rule` is None).

    `why`: in words, why the rule matched or did not, and what it did. `before` and `after` differ where the rule
    changed the packet. `matched` is None if it cannot be known, and the way ends there, or it makes no difference.
    `number`: which rule of its chain, from 1; 0 for the chain's policy. `verdict`: what follows where it matched, as in
    `lab.model.journey.Step`.
    """

    hook: Hook | Literal["ROUTING"]
    table: str = ""
    chain: str = ""
    rule: Rule | None = None
    number: int = 0
    matched: bool | None = True
    verdict: str = ""
    why: str
    before: Packet
    after: Packet


@dataclass(frozen=True, kw_only=True, slots=True)
class Fate:
    """What became of a packet.

    `kind`: it reached its `destination` (`accept`; `local`: on the node itself, else it was sent on), or was dropped,
    rejected, or met a rule that Hairpin does not know. `place`: the chain and rule that decided, "" if none had to.
    `masquerade`: why the source was changed, "" if it stays; `source`: to what, None if it is the node's own address.
    `dnat`: whether the rules chose the destination.
    """

    kind: Literal["accept", "drop", "reject", "unknown"]
    destination: IPAddress
    port: int
    dnat: bool = False
    masquerade: str = ""
    source: IPAddress | None = None
    local: bool = False
    place: str = ""
    detail: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Way:
    """One of the ways that a packet may take: how likely (exactly), which steps, and where it ends.

    `assumed`: what is not known, and taken for given on this way; `share` is out of all packets for which it is so.
    """

    share: Fraction
    steps: tuple[Step, ...] = field(repr=False)
    fate: Fate
    assumed: tuple[Assumption, ...] = ()

    @property
    def service(self) -> str:
        """The service port that the rules on the way name, "" if none does."""
        return self.steps[-1].after.service if self.steps else ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Explanation:
    """All that may happen to a packet; `notes`: what was assumed on every way.

    The shares of the ways add up to 1, however the questions are answered that nobody can answer here.
    """

    packet: Packet
    vantage: Vantage
    ways: tuple[Way, ...]
    notes: tuple[str, ...] = ()
