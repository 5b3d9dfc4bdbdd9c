"""Services: families, ClusterIPs and node ports, as the API server gives them."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import TYPE_CHECKING, Literal

from msgspec.structs import replace

from lab.controllers.ranges import FIRST, Pool
from lab.model.address import FAMILY_NAMES, family_of
from lab.model.cluster import full_name, headless
from lab.parse.mistake import LAB, show

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lab.controllers.ranges import Book, Ranges
    from lab.model.address import Family, IPNetwork
    from lab.model.kubernetes import Service, ServicePort
    from lab.parse.mistake import Mistakes, Path

NODE_PORTS = range(30_000, 32_768)  # kube-apiserver's --service-node-port-range
FAMILY_OF: Mapping[str, Family] = {"IPv4": "ipv4", "IPv6": "ipv6"}
IPFamily = Literal["IPv4", "IPv6"]


def families(at: int, service: Service, ranges: Ranges, out: Mistakes) -> tuple[Family, ...]:
    """Return a Service's address families, the primary one first, by ipFamilies, clusterIPs and ipFamilyPolicy."""
    spec, lab = service.spec, tuple(ranges)
    chosen: list[Family] = []
    for index, name in enumerate(spec.ip_families):
        family = FAMILY_OF[name]
        if family not in ranges or family in chosen:
            here = " and ".join(FAMILY_NAMES[one] for one in lab)
            text = f"the lab's Services have no {name} here; expected {here}, each once"
            out.add(at, ("spec", "ipFamilies", index), text, certain=False)
        else:
            chosen.append(family)
    for _, text in given_ips(service)[len(chosen) :]:
        if family_of(ip_address(text)) not in chosen:
            chosen.append(family_of(ip_address(text)))
    chosen = chosen or list(lab[:1])
    if spec.ip_family_policy == "RequireDualStack" and len(lab) == 1:
        text = "RequireDualStack wants two families; expected podCIDR and serviceCIDR to have two ranges each"
        out.add(at, ("spec", "ipFamilyPolicy"), text, certain=False)
    if spec.ip_family_policy in ("PreferDualStack", "RequireDualStack"):
        chosen += [family for family in lab if family not in chosen]
    return tuple(chosen)


def given_ips(service: Service) -> list[tuple[Path, str]]:
    """Return the ClusterIPs that a Service was given, each with its path."""
    spec = service.spec
    if spec.cluster_ips:
        return [
            (("spec", "clusterIPs", index), text)
            for index, text in enumerate(spec.cluster_ips)
            if text not in ("", "None")
        ]
    return [(("spec", "clusterIP"), spec.cluster_ip)] if spec.cluster_ip not in ("", "None") else []


def claim_services(services: Mapping[int, Service], ranges: Ranges, extra: list[IPNetwork] | None, book: Book) -> None:
    """Note the ClusterIPs that Services give; each must lie in serviceCIDR or in a ServiceCIDR's range (`extra`).

    `extra` None: they may lie anywhere.
    """
    for at, service in services.items():
        spec = service.spec
        if spec.cluster_ips and spec.cluster_ip not in ("", spec.cluster_ips[0]):
            text = f"{show(spec.cluster_ip)} is not the first of clusterIPs; expected {spec.cluster_ips[0]}, or nothing"
            book.out.add(at, ("spec", "clusterIP"), text)
        for path, text in given_ips(service):
            address = ip_address(text)
            if extra is None or any(address in network for network in (*ranges.values(), *extra)):
                book.claim(address, full_name(service), at, path)
            else:
                where = ",".join(str(network) for network in ranges.values())
                wrong = f"the ClusterIP {address} is not in the Lab's serviceCIDR {where}"
                hint = "expected one of that range, or set spec.network.serviceCIDR"
                book.out.add(at, path, f"{wrong}; {hint}", certain=False)


def give_cluster_ips(services: Mapping[int, Service], ranges: Ranges, book: Book) -> dict[int, Service]:
    """Return the Services with their families and a ClusterIP of each, from .10 on."""
    pools = {family: Pool(network, FIRST, book) for family, network in ranges.items()}
    return {at: _give(at, service, ranges, pools, book.out) for at, service in services.items()}


def _give(at: int, service: Service, ranges: Ranges, pools: Mapping[Family, Pool], out: Mistakes) -> Service:
    spec = service.spec
    if spec.type == "ExternalName":
        return service
    chosen = families(at, service, ranges, out)
    names: tuple[IPFamily, ...] = tuple("IPv4" if family == "ipv4" else "IPv6" for family in chosen)
    policy = spec.ip_family_policy or ("SingleStack" if len(chosen) == 1 else "PreferDualStack")
    if headless(service):
        ips: tuple[str, ...] = ("None",)
    else:
        mine = {family_of(ip_address(text)): text for _, text in given_ips(service)}
        for family in chosen:
            taken = None if family in mine or family not in pools else pools[family].take(full_name(service))
            if taken is not None:
                mine[family] = str(taken)
            elif family not in mine and family in pools:
                network = pools[family].network
                text = f"serviceCIDR {network} is exhausted: {full_name(service)} gets no ClusterIP"
                out.add(LAB, ("spec", "network", "serviceCIDR"), f"{text}; expected a wider range", certain=False)
        ips = tuple(mine[family] for family in chosen if family in mine)
    cluster_ip = ips[0] if ips else ""
    new = replace(spec, cluster_ip=cluster_ip, cluster_ips=ips, ip_families=names, ip_family_policy=policy)
    return replace(service, spec=new)


@dataclass(slots=True)
class _NodePorts:
    """Which node ports are taken, by whom: a port number for each protocol."""

    out: Mistakes
    owners: dict[tuple[int, str], str] = field(default_factory=dict)
    numbers: set[int] = field(default_factory=set)  # a free port is one that no protocol uses
    free: Iterator[int] = field(default_factory=lambda: iter(NODE_PORTS))

    def claim(self, port: int, protocol: str, who: str, at: int, path: Path) -> None:
        owner = self.owners.setdefault((port, protocol), who)
        self.numbers.add(port)
        if owner != who:
            text = f"the node port {port}/{protocol} is taken: {owner} has it; expected one that is free"
            self.out.add(at, path, text)

    def take(self, at: int, path: Path) -> int:
        for port in self.free:
            if port not in self.numbers:
                return port
        self.out.add(at, path, "the node ports are exhausted; expected fewer of them", certain=False)
        return 0


def wants_node_ports(service: Service) -> bool:
    """Return whether a Service has a node port for each port."""
    spec = service.spec
    return spec.type == "NodePort" or (spec.type == "LoadBalancer" and spec.allocate_load_balancer_node_ports)


def wants_health_port(service: Service) -> bool:
    """Return whether a Service has a health check node port."""
    return service.spec.type == "LoadBalancer" and service.spec.external_traffic_policy == "Local"


def give_node_ports(services: Mapping[int, Service], out: Mistakes) -> dict[int, Service]:
    """Return the Services with their node ports: given ones first, then from 30000 on."""
    ports = _NodePorts(out)
    for at, service in services.items():
        spec = service.spec
        for index, port in enumerate(spec.ports):
            path: Path = ("spec", "ports", index, "nodePort")
            if port.node_port and spec.type in ("ClusterIP", "ExternalName"):
                text = f"a Service of type {spec.type} has no node ports; expected type NodePort or LoadBalancer"
                out.add(at, path, text, certain=False)
            elif port.node_port:
                ports.claim(port.node_port, port.protocol, f"{full_name(service)} (port {index})", at, path)
        if spec.health_check_node_port and wants_health_port(service):
            who = f"{full_name(service)} (health check)"
            ports.claim(spec.health_check_node_port, "TCP", who, at, ("spec", "healthCheckNodePort"))
    return {at: _give_ports(at, service, ports) for at, service in services.items()}


def _give_ports(at: int, service: Service, taken: _NodePorts) -> Service:
    spec = service.spec
    if not wants_node_ports(service) and not wants_health_port(service):
        return service
    given: list[ServicePort] = []
    for index, port in enumerate(spec.ports):
        number = port.node_port
        if not number and wants_node_ports(service):
            number = taken.take(at, ("spec", "ports", index))
        given.append(replace(port, node_port=number))
    health = spec.health_check_node_port
    if not health and wants_health_port(service):
        health = taken.take(at, ("spec",))
    return replace(service, spec=replace(spec, ports=tuple(given), health_check_node_port=health))
