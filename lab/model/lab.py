"""The Lab document (`apiVersion: hairpin/v1alpha1`): what a topology says beside its Kubernetes objects.

The published JSON Schema is made from these classes; their docstrings are what an editor shows.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from lab.model.address import IPAddress
from lab.model.kubernetes import Part, Port

HairpinMode = Literal["hairpin-veth", "promiscuous-bridge", "none"]
Mode = Literal["iptables", "nftables"]
Variant = Literal["nft", "legacy"]
Release = Literal["1.36", "classic"]
NetError = Literal["refused", "timeout", "unreachable", "reset"]


class Client(Part, frozen=True, kw_only=True):
    """A machine outside the cluster, behind the router."""

    name: str
    addresses: tuple[IPAddress, ...] = ()


class Network(Part, frozen=True, kw_only=True):
    """Ranges (a second one after a comma makes the lab dual-stack) and how pods are wired."""

    pod_cidr: str = "10.244.0.0/16"
    service_cidr: str = "10.96.0.0/16"
    node_cidr: str = "192.168.0.0/24"
    client_cidr: str = "198.51.100.0/24"
    plugin: Literal["bridge"] = "bridge"
    overlay: Literal["none"] = "none"
    hairpin_mode: HairpinMode = "hairpin-veth"


class Answer(Part, frozen=True, kw_only=True):
    """The reply: who may give it, the source address that the server must have seen."""

    by: tuple[str, ...] | str = ()
    source: str = ""


class FlowExpectation(Part, frozen=True, kw_only=True):
    """What conntrack on `node` must hold for the request.

    `dnat` and `snat`: whether the flow is translated so, or to whom (a pod; a node's interface as `node-1/cbr0`).
    `answered`: whether a reply was seen; a request that found no reply leaves an unanswered flow or none at all.
    """

    node: str
    answered: bool = True
    dnat: bool | str | None = None
    snat: bool | str | None = None


class When(Part, frozen=True, kw_only=True):
    """The labs in which an expectation holds; where they differ it is left out and said to be."""

    mode: Mode | None = None
    hairpin_mode: HairpinMode | None = None
    iptables: Variant | None = None


class Expectation(Part, frozen=True, kw_only=True):
    """One request and what must come of it."""

    it: str
    from_: str
    to: str
    port: Port | None = None
    protocol: Literal["tcp", "udp"] = "tcp"
    answer: Answer | None = None
    flow: FlowExpectation | tuple[FlowExpectation, ...] = ()
    shares: Literal["equal"] | None = None
    error: NetError | None = None
    when: When = When()


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
