"""The Lab document (`apiVersion: hairpin/v1alpha1`): what a topology says beside its Kubernetes objects.

The published JSON Schema is made from these classes; their docstrings are what an editor shows.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, field

from lab.model.address import IPAddress, IPNetwork
from lab.model.kubernetes import Port, Protocol
from lab.model.part import Part

HairpinMode = Literal["hairpin-veth", "promiscuous-bridge", "none"]
Mode = Literal["iptables", "nftables"]
Variant = Literal["nft", "legacy"]
Release = Literal["1.36", "classic"]
Plugin = Literal["bridge", "ptp"]
Overlay = Literal["none", "vxlan"]
Addresses = Literal["ranges", "anywhere"]
NetError = Literal["refused", "timeout", "unreachable", "reset"]
Failure = Literal["refused", "timeout", "unreachable", "reset", "any"]
MarkHook = Literal["prerouting", "input", "forward", "output", "postrouting"]
Condition = Literal["ready", "unready", "terminating"]
MOST_CONNECTIONS = 500
MOST_BYTES = 1 << 20
"""Of an expectation's `size`; a request keeps what it sends in memory."""


class ClientPort(Part, frozen=True, kw_only=True):
    """A port that a machine outside the cluster answers on."""

    port: Port
    protocol: Protocol = "TCP"


class Client(Part, frozen=True, kw_only=True):
    """A machine outside the cluster, behind the router; one with `ports` answers there, as a pod does."""

    name: str
    addresses: tuple[IPAddress, ...] = ()
    ports: tuple[ClientPort, ...] = ()


class RouterRoute(Part, frozen=True, kw_only=True):
    """What the router does with packets for addresses that no machine has, as those of a load balancer: to a node."""

    to: IPNetwork
    via: str


class Network(Part, frozen=True, kw_only=True):
    """Ranges (a second one after a comma makes the lab dual-stack) and how pods are wired.

    `plugin`: `bridge` gives each node a bridge cbr0, `ptp` each pod a cable of its own that the node routes to.
    `overlay`: `none` routes between nodes, `vxlan` sends what is for another node's pods through a tunnel.
    `routes`: what the router sends to which node, beside what is for pods and nodes.
    `addresses`: `ranges` has nodes, pods and clients in the ranges above. With `anywhere` they may have any, as a real
    cluster's have: each node and client outside of its range is reached by a route of its own, and so, with plugin ptp,
    is each pod (nodes have no pod ranges then); kube-proxy's clusterCIDR is what its configuration says, or nothing.
    """

    pod_cidr: str = "10.244.0.0/16"
    service_cidr: str = "10.96.0.0/16"
    node_cidr: str = "192.168.0.0/24"
    client_cidr: str = "198.51.100.0/24"
    plugin: Plugin = "bridge"
    overlay: Overlay = "none"
    hairpin_mode: HairpinMode = "hairpin-veth"
    routes: tuple[RouterRoute, ...] = ()
    addresses: Addresses = "ranges"

    @property
    def anywhere(self) -> bool:
        """Whether addresses may lie outside of the ranges."""
        return self.addresses == "anywhere"

    @property
    def pod_routes(self) -> bool:
        """Whether there is a route for each pod, and none for a node's pods together."""
        return self.anywhere and self.plugin == "ptp"


class Answer(Part, frozen=True, kw_only=True):
    """The reply: who may give it, the source address that the server must have seen, the HTTP status.

    `again`: of a `then`: whether each asker is answered by the same pod as just before (true: all of them are; false:
    not all are).
    """

    by: tuple[str, ...] | str = ()
    source: str = ""
    status: int | None = None
    again: bool | None = None


class FlowExpectation(Part, frozen=True, kw_only=True):
    """What conntrack on `node` must hold for the request.

    `dnat` and `snat`: whether the flow is translated so, or to whom (a pod; a node's interface as `node-1/cbr0`).
    `answered`: whether a reply was seen; a request that found no reply leaves an unanswered flow or none at all.
    """

    node: str
    answered: bool = True
    dnat: bool | str | None = None
    snat: bool | str | None = None


class MarkExpectation(Part, frozen=True, kw_only=True):
    """The fwmark that the request's first packet must have on `node` when a hook's rules have seen it.

    At `postrouting` it is read before kube-proxy's do: they take it off there.
    """

    node: str
    at: MarkHook = "postrouting"
    is_: int


class RulesExpectation(Part, frozen=True, kw_only=True):
    """The rules of kube-proxy's chains on `node` that packets of the request must have matched, and no others.

    Each is `CHAIN > TARGET`, such as `KUBE-SERVICES > KUBE-SVC` in iptables mode, `services > service` in nftables
    mode; what a chain's name has after `KUBE-SVC-`, `service-` and the like may be left out. Rules of both modes may
    stand in one list: each is for the labs of its mode.
    """

    node: str
    hit: tuple[str, ...]


class JourneyExpectation(Part, frozen=True, kw_only=True):
    """What the journey of the request and its reply must have been; `[dnat, masquerade]` alone is `contains`.

    A moment is `choose`, `dnat`, `mark`, `mark-read`, `masquerade`, `snat`, `port-changed`, `untracked`, `act`,
    `hairpin`, `reply-translated`, `reject`, `drop` or `lost`, wherever it was, or one at a place: `dnat on node-1`.

    `contains`: moments that must be there, in this order. `without`: moments that must not be there.
    `via`: the nodes that the request came by, in this order, and no others.
    `end`: what became of the request: `delivered`, `dropped`, `refused` or `lost`, anywhere or `dropped on node-1`.
    """

    contains: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    via: tuple[str, ...] = ()
    end: str = ""


class When(Part, frozen=True, kw_only=True):
    """The labs in which an expectation holds; where they differ it is left out and said to be."""

    mode: Mode | None = None
    hairpin_mode: HairpinMode | None = None
    iptables: Variant | None = None
    plugin: Plugin | None = None
    overlay: Overlay | None = None


class Outcome(Part, frozen=True, kw_only=True):
    """What must come of a request: a reply or an error, and what the nodes on its way must show.

    `error`: the client's, or `any`: no reply, in whichever way. `shares`, over as many requests as it takes: `equal`:
    all of `answer.by` answer equally often; `one`: all requests of an asker are answered by one pod; `some`: each of
    `answer.by` answers, whatever becomes of what was meant for others.
    """

    answer: Answer | None = None
    error: Failure | None = None
    flow: FlowExpectation | tuple[FlowExpectation, ...] = ()
    mark: MarkExpectation | tuple[MarkExpectation, ...] = ()
    rules: RulesExpectation | tuple[RulesExpectation, ...] = ()
    journey: JourneyExpectation | tuple[str, ...] | None = None
    shares: Literal["equal", "one", "some"] | None = None

    @property
    def story(self) -> JourneyExpectation | None:
        """What is expected of the journey, in full however it was written."""
        return JourneyExpectation(contains=self.journey) if isinstance(self.journey, tuple) else self.journey

    @property
    def traced(self) -> bool:
        """Whether only the journey of a request tells what came of it."""
        return bool(self.mark or self.rules or self.journey is not None)


class Step(Outcome, frozen=True, kw_only=True):
    """The same request once more, after pods' conditions were changed, or after a time, and what must come of it.

    `change`: pods and what they become; the lab is put back when the expectation has been judged.
    """

    it: str
    change: dict[str, Condition] = field(default_factory=dict)
    after: str = ""


class Expectation(Outcome, frozen=True, kw_only=True):
    """One request and what must come of it; `then` is what must come of it later.

    `size`: so many bytes are sent, and so many must come back (who sent them is not known then). `connections`: so many
    of an asker at once, each of which stays open until the last one is answered.
    """

    it: str
    from_: str
    to: str
    port: Port | None = None
    protocol: Literal["tcp", "udp"] = "tcp"
    local_port: Port | None = None
    family: Literal["ipv4", "ipv6"] | None = None
    size: Annotated[int, Meta(ge=0, le=MOST_BYTES)] = 0
    connections: Annotated[int, Meta(ge=0, le=MOST_CONNECTIONS)] = 0
    when: When = When()
    then: tuple[Step, ...] = ()


class LabSpec(Part, frozen=True, kw_only=True):
    """What stands around the Kubernetes objects, and what must be true of it."""

    nodes: tuple[str, ...] = ()
    clients: tuple[Client, ...] = ()
    network: Network = Network()
    iptables: Variant = "nft"
    release: Release = "1.36"
    expect: tuple[Expectation, ...] = ()


class LabMeta(Part, frozen=True, kw_only=True):
    """The topology's name."""

    name: Annotated[str, Meta(max_length=63)]


class Lab(Part, frozen=True, kw_only=True):
    """hairpin/v1alpha1 Lab."""

    api_version: Literal["hairpin/v1alpha1"] = "hairpin/v1alpha1"
    kind: Literal["Lab"] = "Lab"
    metadata: LabMeta
    spec: LabSpec = LabSpec()
