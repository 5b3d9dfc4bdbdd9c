"""Which Services a change concerns, so that nothing else has to be rendered or compared."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from lab.model.address import FAMILIES, Family, IPAddress
from lab.model.cluster import Cluster, cluster_ips, external_addresses
from lab.model.kubernetes import EndpointSlice, Service
from lab.proxy import classic_units
from lab.proxy.iptables import LARGE_CLUSTER
from lab.proxy.services import ServiceKey, units


class _Meta(Protocol):
    @property
    def key(self) -> tuple[str, str]: ...


class _Object(Protocol):
    @property
    def metadata(self) -> _Meta: ...


T = TypeVar("T", bound=_Object)


@dataclass(frozen=True, slots=True)
class Changed:
    """The Services that changed, themselves or by their EndpointSlices, and those of which a slice with UDP did."""

    services: frozenset[ServiceKey]
    udp: frozenset[ServiceKey]


def changed(old: Cluster, new: Cluster) -> Changed:
    """Return which Services differ; objects that are one and the same in both clusters cost next to nothing."""
    slices = tuple(_differing(old.slices, new.slices))
    services = {one.metadata.key for one in _differing(old.services, new.services)}
    services |= {one.service_key for one in slices}
    udp = {one.service_key for one in slices if any(port.protocol == "UDP" for port in one.ports)}
    return Changed(frozenset(services), frozenset(udp))


def _differing(old: Sequence[T], new: Sequence[T]) -> Iterable[T]:
    """Yield the objects that are not the same on both sides, in both their forms."""
    if old is new:
        return
    # Mostly the same objects stand in the same places: then nothing has to be looked up.
    pairs = [(one, other) for one, other in zip(old, new, strict=False) if one is not other and one != other]
    shorter = min(len(old), len(new))
    before = {one.metadata.key: one for one in (*(one for one, _ in pairs), *old[shorter:])}
    for one in (*(other for _, other in pairs), *new[shorter:]):
        there = before.pop(one.metadata.key, None)
        if there is None or there != one:
            yield one
            if there is not None:
                yield there
    yield from before.values()


def same_inputs(old: Cluster, new: Cluster) -> bool:
    """Return whether nothing but Services and slices may have changed: else every rule of a node may be another one.

    Nodes have addresses and zones, and kube-proxy's configuration is in every chain.
    """
    inputs = (
        (old.nodes, new.nodes),
        (old.proxy, new.proxy),
        (old.service_cidrs, new.service_cidrs),
        (old.spec.release, new.spec.release),
    )
    return all(before is after or before == after for before, after in inputs)


def large(cluster: Cluster) -> dict[Family, bool]:
    """Return in which families there are so many endpoints that rules lose their comments (iptables mode)."""
    return {family: cluster.mode == "iptables" and _is_large(cluster, family) for family in FAMILIES}


def _is_large(cluster: Cluster, family: Family) -> bool:
    """Count endpoints, and stop when it is known: some of the slices may be enough, and are faster counted."""
    kind = "IPv4" if family == "ipv4" else "IPv6"
    read = classic_units.units if cluster.spec.release == "classic" else units
    for slices in (cluster.slices[: LARGE_CLUSTER + 1], cluster.slices):
        of_service: dict[ServiceKey, list[EndpointSlice]] = {}
        for one in slices:
            if one.address_type == kind:
                of_service.setdefault(one.service_key, []).append(one)
        total = 0
        for service in cluster.services if of_service else ():
            own = of_service.get(service.metadata.key)
            if own:
                total += sum(len(unit.endpoints) for unit in read([service], own, family))
                if total > LARGE_CLUSTER:
                    return True
    return False


def related(cluster: Cluster, parts: Sequence[Cluster]) -> set[ServiceKey]:
    """Return the Services that share an address, or a node port, with a Service or an endpoint of one of `parts`.

    In nftables mode they may share an element, which has to stay when one of them goes: a pod behind two Services is
    one of hairpin-connections.
    """
    services = [one for part in parts for one in part.services]
    addresses = {address for one in services for address in (*cluster_ips(one), *external_addresses(one))}
    ends = (end for part in parts for one in part.slices for end in one.endpoints)
    addresses |= {end.addresses[0] for end in ends if end.addresses}
    ports = {port.node_port for one in services for port in one.spec.ports} - {0}
    texts = set(map(str, addresses))
    found = {one.metadata.key for one in cluster.services if one.spec.cluster_ip in texts}
    found |= {one.metadata.key for one in cluster.services if _meets(one, addresses, ports)}
    return found | {one.service_key for one in cluster.slices if _leads_to(one, addresses)}


def _meets(service: Service, addresses: Collection[IPAddress], ports: Collection[int]) -> bool:
    if any(port.node_port in ports for port in service.spec.ports):
        return True
    return any(address in addresses for address in external_addresses(service))


def _leads_to(one: EndpointSlice, addresses: Collection[IPAddress]) -> bool:
    return any(endpoint.addresses and endpoint.addresses[0] in addresses for endpoint in one.endpoints)
