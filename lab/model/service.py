"""kube-proxy's unit of work: one port of one Service in one family, with its endpoints (reference section 3)."""

from __future__ import annotations

from dataclasses import dataclass

from lab.model.address import IPAddress, IPNetwork
from lab.model.kubernetes import Protocol


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoint:
    """One address and port behind a service port."""

    address: IPAddress
    port: int
    node: str = ""
    ready: bool = True
    serving: bool = True
    terminating: bool = False
    zone_hints: frozenset[str] = frozenset()
    node_hints: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True, slots=True)
class ServiceUnit:
    """One port of one Service in one address family.

    `affinity_seconds` is 0 without session affinity; `node_port` and `health_check_node_port` are 0 when absent.
    """

    namespace: str
    name: str
    port_name: str
    protocol: Protocol
    cluster_ip: IPAddress
    port: int
    node_port: int = 0
    external_ips: tuple[IPAddress, ...] = ()
    load_balancer_ips: tuple[IPAddress, ...] = ()
    source_ranges: tuple[IPNetwork, ...] = ()
    external_local: bool = False
    internal_local: bool = False
    affinity_seconds: int = 0
    health_check_node_port: int = 0
    endpoints: tuple[Endpoint, ...] = ()
