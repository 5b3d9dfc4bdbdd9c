"""A cluster's ranges, as far as its objects tell them, and free ones for what is the lab's own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING

from lab.errors import TopologyError
from lab.model.address import Family, IPAddress, family_of
from lab.model.cluster import cluster_ips, pod_addresses, pod_cidrs
from lab.parse.sloppy import parse_network

if TYPE_CHECKING:
    from lab.controllers.adopt.choose import Part
    from lab.parse.cluster_files import ClusterFiles

Network = IPv4Network | IPv6Network

# How long a range's prefix is at most, so that there is room for what comes later.
_PODS: Mapping[Family, int] = {"ipv4": 24, "ipv6": 64}
_SERVICES: Mapping[Family, int] = {"ipv4": 24, "ipv6": 112}
_DEFAULT_PODS: Mapping[Family, str] = {"ipv4": "10.244.0.0/16", "ipv6": "fd00:10:244::/56"}
_DEFAULT_SERVICES: Mapping[Family, str] = {"ipv4": "10.96.0.0/16", "ipv6": "fd00:10:96::/112"}
# Ranges that few clusters use, most of them set aside for examples (RFC 5737, RFC 2544, RFC 3849).
_FREE: Mapping[Family, tuple[str, ...]] = {
    "ipv4": ("198.51.100.0/24", "192.0.2.0/24", "203.0.113.0/24", "198.18.0.0/24", "198.18.1.0/24", "198.19.0.0/24"),
    "ipv6": ("2001:db8:100::/64", "2001:db8:192::/64", "2001:db8:a::/64", "2001:db8:b::/64", "fd00:192:168::/64"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Ranges:
    """What the Lab document says as text: `10.244.0.0/16,fd00:10:244::/56`; the primary family first."""

    pods: str
    services: str
    nodes: str
    clients: str


def families(files: ClusterFiles, part: Part) -> tuple[Family, ...]:
    """Return the families of pods and Services, the primary one first."""
    told = [*files.kubeadm.pods, *(network for node in files.nodes[:1] for network in pod_cidrs(node))]
    own = [address for pod in part.pods if not pod.spec.host_network for address in pod_addresses(pod)]
    virtual = [address for service in part.services for address in cluster_ips(service)]
    have = {family_of(one) for one in (*own, *virtual)}
    order = dict.fromkeys(family_of(one) for one in (*told, *own, *virtual))
    return tuple(family for family in order if family in have) or tuple(order)[:1] or ("ipv4",)


def ranges(
    files: ClusterFiles, part: Part, known: Sequence[Family], cluster_cidr: str, outside: Iterable[IPAddress]
) -> Ranges:
    """Return the ranges of a lab that holds `part` of a cluster, of `known` families; `outside`: who else is there."""
    pods = _pods(files, part, known, cluster_cidr)
    services = _services(files, part)
    taken: list[Network] = [*pods.values(), *services.values()]
    taken += [ip_network(one) for one in _addresses(files, part, outside)]
    taken += [network for node in files.nodes for network in pod_cidrs(node)]
    clients = free(known, taken)
    nodes = free(known, [*taken, *clients])
    if not services:
        services = {known[0]: ip_network(_DEFAULT_SERVICES[known[0]])}
    return Ranges(
        pods=_text(pods.values()), services=_text(services.values()), nodes=_text(nodes), clients=_text(clients)
    )


def _text(networks: Iterable[Network]) -> str:
    return ",".join(map(str, networks))


def _pods(files: ClusterFiles, part: Part, known: Sequence[Family], cluster_cidr: str) -> dict[Family, Network]:
    said = [parse_network(text) for text in cluster_cidr.split(",") if text.strip()]
    given = _first([*said, *files.kubeadm.pods])
    held = [address for pod in part.pods if not pod.spec.host_network for address in pod_addresses(pod)]
    held += [one for node in files.nodes for network in pod_cidrs(node) for one in (network[0], network[-1])]
    return {
        family: given.get(family) or cover(held, family, _PODS[family]) or ip_network(_DEFAULT_PODS[family])
        for family in known
    }


def _services(files: ClusterFiles, part: Part) -> dict[Family, Network]:
    said = [network for one in files.service_cidrs for network in one.spec.cidrs]
    given = _first([*said, *files.kubeadm.services])
    held = [address for service in part.services for address in cluster_ips(service)]
    order = dict.fromkeys(map(family_of, held))
    found = {family: given.get(family) or cover(held, family, _SERVICES[family]) for family in order}
    return {family: network for family, network in found.items() if network}


def _first(networks: Iterable[Network]) -> dict[Family, Network]:
    found: dict[Family, Network] = {}
    for one in networks:
        found.setdefault(family_of(one), one)
    return found


def cover(addresses: Iterable[IPAddress], family: Family, longest: int) -> Network | None:
    """Return the smallest range that holds all `addresses` of a family, its prefix no longer than `longest`."""
    mine = [int(one) for one in addresses if family_of(one) == family]
    if not mine:
        return None
    bits = 32 if family == "ipv4" else 128
    prefix = min(longest, bits - (min(mine) ^ max(mine)).bit_length())
    kind = IPv4Network if family == "ipv4" else IPv6Network
    return kind((min(mine) >> (bits - prefix) << (bits - prefix), prefix))


def _addresses(files: ClusterFiles, part: Part, outside: Iterable[IPAddress]) -> Iterable[IPAddress]:
    yield from outside
    for node in files.nodes:
        for entry in node.status.addresses:
            if entry.type in ("InternalIP", "ExternalIP"):
                yield ip_address(entry.address)
    for pod in part.pods:
        yield from pod_addresses(pod)


def free(known: Sequence[Family], taken: Sequence[Network]) -> list[Network]:
    """Return a range of each family that none of `taken` has a part of."""
    found = []
    for family in known:
        candidates = [ip_network(text) for text in _FREE[family]]
        free = next((one for one in candidates if not any(_overlap(one, other) for other in taken)), None)
        if free is None:
            raise TopologyError(
                f"the cluster has addresses in every range that could be the lab's own: {_text(candidates)}"
            )
        found.append(free)
    return found


def _overlap(one: Network, other: Network) -> bool:
    return one.version == other.version and one.overlaps(other)
