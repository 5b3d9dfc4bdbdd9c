"""What is in the picture of a cluster: boxes and lines, as words and keys, without any place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lab.model.address import IPAddress

State = Literal["ready", "terminating", "not ready"]

MORE_NODES = "nodes-more"
"""The key of the nodes that are not drawn."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PodBox:
    """A pod; `ports` are `8080/TCP`. `key` tells it from all others of the picture, as everywhere here."""

    key: str
    name: str
    addresses: tuple[IPAddress, ...]
    ports: tuple[str, ...]
    state: State
    host_network: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Interface:
    """One of a machine's interfaces; `says` is what it is (`hairpin-veth`, `VXLAN`); `bridge`: pods are its ports."""

    name: str
    says: str
    addresses: tuple[IPAddress, ...]
    bridge: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeBox:
    """A node with its pods; `more` of them are not drawn. `wiring`: from its pods to the other machines."""

    key: str
    name: str
    addresses: tuple[IPAddress, ...]
    ranges: tuple[str, ...]
    wiring: tuple[Interface, ...]
    pods: tuple[PodBox, ...]
    more: int

    @property
    def more_key(self) -> str:
        """What tells the pods that are not drawn apart."""
        return f"{self.key}-more"


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """From a Service to one of its endpoints, or (`count`) to several that are not drawn; `to` is a key."""

    to: str
    state: State
    count: int = 1
    sockets: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class ServiceBox:
    """A Service: its type, addresses, ports (`http 80/TCP → 8080`), what else it is told, and where it leads."""

    key: str
    name: str
    type: str
    addresses: tuple[str, ...]
    ports: tuple[str, ...]
    notes: tuple[str, ...]
    lines: tuple[Line, ...]
    outside: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """A machine that is no node."""

    name: str
    addresses: tuple[IPAddress, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """Everything that is drawn. `more_nodes`, `more_pods` (on these), `more_services`, `more_clients` are not."""

    name: str
    subtitle: str
    wire: str
    nodes: tuple[NodeBox, ...]
    services: tuple[ServiceBox, ...]
    router: Machine
    clients: tuple[Machine, ...]
    more_nodes: int = 0
    more_pods: int = 0
    more_services: int = 0
    more_clients: int = 0

    @property
    def states(self) -> tuple[State, ...]:
        """The states that endpoints are in."""
        return tuple(dict.fromkeys(line.state for service in self.services for line in service.lines))
