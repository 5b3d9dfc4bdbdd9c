"""What the kernel told of one request: packets at interfaces, trace events of rules, and what stood around them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from lab.model.address import Family, IPAddress
from lab.model.flow import Flow
from lab.model.packet import Packet
from lab.model.request import Reply, Request

Tool = Literal["iptables-nft", "iptables-legacy", "nft"]
UNHEARD = "rules of iptables-legacy, if there are any, could not be listened to"
"""What is said of places where another trace or watch listened."""

OWN_TABLE = "hairpin-trace"
"""The table of ours that asks for trace events, and whose chains show a packet before and behind each hook's others.

In the kernel its name has a number behind it: a table with an owner is not shared, and two traces may go on at once.
Its chains are called `prerouting-first`, `prerouting-last`, and so on for `input`, `forward`, `output`, `postrouting`;
their priorities are -310 and 310. Each gives one event, of the kind `policy`, with the packet.
"""


WAYS = frozenset({"unicast", "local", "broadcast", "multicast", "anycast"})
"""The kinds of routes that lead anywhere."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """What to trace: `ends`, the addresses and ports that its packets may be sent to; `askers`, the asker's addresses.

    `places`: by namespace, what it is called; these are tapped. `nodes`: those whose rules are traced in any case.
    `whole`: also tables of which no event tells are listed. `service`: the service port that is asked for, "" for none.
    """

    request: Request
    tool: Tool
    places: Mapping[str, str]
    nodes: tuple[str, ...]
    names: Mapping[IPAddress, str]
    ends: tuple[tuple[IPAddress, int], ...]
    askers: tuple[IPAddress, ...]
    whole: bool = False
    service: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Tap:
    """A packet at an interface: where it comes in, before any hook, or leaves, behind all. `time_ns`: since the epoch.

    `mark`: the fwmark, None where the kernel does not tell it. A tunnelled packet is its carrier's `packet.inner`.
    `to`: the MAC that the frame is addressed to, "" if it has none.
    """

    netns: str
    interface: str
    direction: Literal["in", "out"]
    time_ns: int
    mark: int | None
    packet: Packet
    to: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """One trace event: a rule that matched, or the end of a chain. Those of one namespace come in their order.

    `id`: the kernel's number for one packet in one hook; it is used again. `family`: the table's (ip, ip6, inet).
    `kind`: `rule`, `return` (the end of a chain that was jumped to) or `policy` (that of a base chain).
    `verdict`: `accept`, `drop`, `continue`, `jump`, `goto`, `return`, `queue` or `stolen`; "" where it is not told
    (iptables-legacy), and `target` the chain that a jump or goto leads to.
    `handle`: the rule's (nft); `number`: which rule of its chain, from 1 (iptables-legacy). 0: not told.
    `mark`: behind the rule, or before it (iptables-legacy: `marked_before`); None if not told.
    `iif`, `oif`: interfaces by name; `physin`, `physout`: the bridge's ports, which only iptables-legacy tells.
    `packet`: its headers, None where the event has none (every one but the first of a base chain).
    `ct_id`: the conntrack entry's, 0 if not told. `time_ns`: None where the kernel gives none.
    """

    netns: str
    id: int
    family: Literal["ip", "ip6", "inet", "bridge", "netdev", "arp"]
    table: str
    chain: str
    kind: Literal["rule", "return", "policy"]
    verdict: str = ""
    target: str = ""
    handle: int = 0
    number: int = 0
    mark: int | None = None
    marked_before: bool = False
    iif: str = ""
    oif: str = ""
    physin: str = ""
    physout: str = ""
    packet: Packet | None = None
    ct_id: int = 0
    time_ns: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """The rules of a namespace as a tool lists them (`iptables-save -c`, `nft -j list ruleset`), after the request.

    `handles`: of each chain (family, table, chain) its rules' handles in order; empty for iptables-legacy.
    `steady`: whether the rules were the same before the request and behind the listing (NFTA_GEN_ID).
    """

    netns: str
    tool: Tool
    family: Family
    text: str
    handles: Mapping[tuple[str, str, str], tuple[int, ...]] = field(default_factory=dict)
    steady: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Link:
    """An interface of a namespace; `kind` is veth, bridge, vxlan, "" ...; `hairpin`: of a bridge's port.

    `up`: whether it was up before the request, and its other end too, if it has one; `enabled`: whether it was itself,
    as ip-link(8) sets it. `number`: its index; `peer`: that of a veth's other end, in that one's namespace (0: not
    known).
    """

    netns: str
    name: str
    kind: str = ""
    master: str = ""
    hairpin: bool | None = None
    addresses: tuple[IPAddress, ...] = ()
    mtu: int = 0
    up: bool = True
    enabled: bool = True
    number: int = 0
    peer: int = 0
    mac: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Neighbour:
    """An entry of a namespace's neighbour table: who has an address; `state` in ip-neighbour(8)'s words."""

    netns: str
    interface: str
    address: IPAddress
    mac: str
    state: str


@dataclass(frozen=True, kw_only=True, slots=True)
class RouteQuestion:
    """What a namespace's routing is asked after the request: ip-route(8), `get ADDRESS from SOURCE iif IF mark M`."""

    netns: str
    destination: IPAddress
    source: IPAddress | None = None
    iif: str = ""
    mark: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """The answer: `kind` is unicast, local, blackhole, ... or, with nothing else, the errno's name (ENETUNREACH).

    Where there is no way: `plain` is the kind when it is asked for the destination alone, without source and interface;
    `refusing` the route that refuses it, as ip-route(8) lists it (`blackhole default`). "": not asked, or none.
    """

    question: RouteQuestion
    kind: str
    oif: str = ""
    gateway: IPAddress | None = None
    source: IPAddress | None = None
    plain: str = ""
    refusing: str = ""

    @property
    def leads(self) -> bool:
        """Whether there is a way."""
        return self.kind in WAYS


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """All that was observed of one request. Nothing in it is inferred.

    `places`: what each namespace that was looked at is called (`node-1`, `web-1`); `nodes`: which of them are nodes.
    `names`: who has which address. `taps` are in the order of time, `events` of one namespace in their own; packets
    that have none of the ports of the request's flows are left out of both, if they are of TCP or UDP.
    `risen`: by namespace, the kernel's counters of packets that it gave up (`TcpExt.IPReversePathFilter`,
    `Ip.OutNoRoutes`...; /proc/net/snmp, snmp6, netstat, and nf_conntrack's `conntrack.drop`...) that have risen, by how
    much. `sysctls`: by namespace, those that decide such things. `lost`: by namespace, how many packets or events the
    kernel had no room for; `left_out`: how many were not kept because there were too many. `whole`: the namespaces of
    which `listings` has all tables; of others those alone that events are of. `unheard`: the namespaces where
    nothing was told of iptables-legacy's rules, if there are any.
    `neighbours`: behind the request, if nobody answered.
    `service`: the service port (`namespace/name:port`) that was asked for, by the lab's objects, "" for none.
    """

    request: Request
    reply: Reply
    tool: Tool
    places: Mapping[str, str]
    nodes: tuple[str, ...]
    names: Mapping[IPAddress, str]
    taps: tuple[Tap, ...] = ()
    events: tuple[Event, ...] = ()
    listings: tuple[Listing, ...] = ()
    links: tuple[Link, ...] = ()
    routes: tuple[Route, ...] = ()
    neighbours: tuple[Neighbour, ...] = ()
    flows: tuple[Flow, ...] = ()
    risen: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    sysctls: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    lost: Mapping[str, int] = field(default_factory=dict)
    left_out: int = 0
    whole: frozenset[str] = frozenset()
    unheard: frozenset[str] = frozenset()
    service: str = ""
