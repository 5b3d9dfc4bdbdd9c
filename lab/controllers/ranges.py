"""A lab's address ranges by family, and pools that give addresses out in a fixed order."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TYPE_CHECKING

from lab.model.address import FAMILY_NAMES, Family, IPAddress, IPNetwork, family_of
from lab.model.cluster import networks
from lab.model.lab import Network
from lab.parse.mistake import LAB

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from lab.parse.mistake import Mistakes, Path

FIRST = 10  # the host part of the first node, client and ClusterIP
FIRST_POD = 2  # .1 is the node's bridge
NODE_PREFIX: Mapping[Family, int] = {"ipv4": 24, "ipv6": 64}  # kube-controller-manager's --node-cidr-mask-size-*
# Where nodes and clients live in a family that the Lab document gives no range for.
FALLBACK: Mapping[str, Mapping[Family, str]] = {
    "nodeCIDR": {"ipv4": Network().node_cidr, "ipv6": "fd00:192:168::/64"},
    "clientCIDR": {"ipv4": Network().client_cidr, "ipv6": "2001:db8:100::/64"},
}

Ranges = dict[Family, IPNetwork]


@dataclass(slots=True)
class Book:
    """Who has which address: one for each lab; an address that is claimed twice is a mistake."""

    out: Mistakes
    owners: dict[IPAddress, str] = field(default_factory=dict)

    def claim(self, address: IPAddress, who: str, at: int, path: Path) -> None:
        """Note that `who` has `address`, as the object `at` says at `path`."""
        owner = self.owners.setdefault(address, who)
        if owner is not who and owner != who:
            self.out.add(at, path, f"the address {address} is taken: {owner} has it; expected one that is free")


@dataclass(slots=True)
class Pool:
    """The free addresses of one range: from the `first` host part on, then those below it.

    The range's own address, its last one (IPv4 broadcast) and, below `first`, the router's .1 are never given out.
    """

    network: IPNetwork
    first: int
    book: Book
    order: Iterator[int] = field(init=False)

    def __post_init__(self) -> None:
        self.order = self._order()

    def _order(self) -> Iterator[int]:
        base, size = int(self.network.network_address), self.network.num_addresses
        yield from range(base + self.first, base + size - 1)
        yield from range(base + 2, base + min(self.first, size - 1))

    def take(self, who: str) -> IPAddress | None:
        """Return the next free address, now that of `who`, or None when the range is exhausted."""
        make = IPv4Address if isinstance(self.network, IPv4Network) else IPv6Address
        for number in self.order:
            address = make(number)
            if address not in self.book.owners:
                self.book.owners[address] = who
                return address
        return None


def by_family(ranges: Iterable[IPNetwork]) -> Ranges:
    """Return ranges by their family, the primary one first."""
    return {family_of(network): network for network in ranges}


@dataclass(frozen=True, slots=True)
class LabRanges:
    """The ranges of a lab; each has the families of `pods`, or (services) some of them.

    `anywhere`: objects may give addresses outside of them. `pod_routes`: nodes have no pod ranges.
    """

    pods: Ranges
    services: Ranges
    nodes: Ranges
    clients: Ranges
    anywhere: bool = False
    pod_routes: bool = False


def lab_ranges(network: Network, out: Mistakes) -> LabRanges:
    """Return the ranges that a Lab document means, with those that it leaves to Hairpin."""
    pods = by_family(networks(network.pod_cidr))
    services = by_family(networks(network.service_cidr))
    for family, one in list(services.items()):
        if family not in pods:
            name = FAMILY_NAMES[family]
            text = f"{one} is {name}, of which podCIDR {network.pod_cidr} has none; expected the families of podCIDR"
            out.add(LAB, ("spec", "network", "serviceCIDR"), text)
            del services[family]
    return LabRanges(
        pods=pods,
        services=services,
        nodes=_outer("nodeCIDR", network.node_cidr, pods, out),
        clients=_outer("clientCIDR", network.client_cidr, pods, out),
        anywhere=network.anywhere,
        pod_routes=network.pod_routes,
    )


def _outer(name: str, text: str, pods: Ranges, out: Mistakes) -> Ranges:
    given = by_family(networks(text))
    if text != FALLBACK[name]["ipv4"]:
        for family in given.keys() - pods.keys():
            expected = " and ".join(FAMILY_NAMES[one] for one in pods)
            text = f"{given[family]}: the pods have no such family; expected {expected}"
            out.add(LAB, ("spec", "network", name), text)
    return {family: given.get(family) or networks(FALLBACK[name][family])[0] for family in pods}


NODE_PODS = "a node's pod range"
SERVICE_CIDR = "a ServiceCIDR's range"
NESTED = ({"podCIDR", NODE_PODS}, {"serviceCIDR", SERVICE_CIDR})  # one may hold the other


@dataclass(frozen=True, slots=True)
class Named:
    """A range, what it is, and where it was said."""

    network: IPNetwork
    what: str
    at: int
    path: Path


def check_apart(named: list[Named], out: Mistakes) -> None:
    """Report ranges that overlap, and ranges that no network may have."""
    for one in named:
        net = one.network
        if net.is_loopback or net.is_multicast or net.is_link_local or net.network_address.is_unspecified:
            text = f"{net} is set aside for loopback, multicast or link-local; expected a private range"
            out.add(one.at, one.path, text)
    # in the order of their addresses only neighbours can overlap, or a range and those inside of it
    wide: list[Named] = []
    position = {id(one): index for index, one in enumerate(named)}
    for one in sorted(named, key=lambda one: (one.network.version, int(one.network.network_address))):
        wide = [other for other in wide if other.network.version == one.network.version and _overlap(other, one)]
        for other in wide:
            first, second = sorted((other, one), key=lambda each: position[id(each)])
            if {first.what, second.what} not in NESTED:
                text = f"{second.what} {second.network} overlaps {first.what} {first.network}; expected ranges apart"
                out.add(second.at, second.path, text)
        wide.append(one)


def _overlap(one: Named, other: Named) -> bool:
    return one.network.overlaps(other.network)


def subnet(network: IPNetwork, index: int) -> IPNetwork:
    """Return a node's range: the one with this index among the /24s (IPv6: /64s) of `network`."""
    prefix = NODE_PREFIX[family_of(network)]
    if isinstance(network, IPv4Network):
        return IPv4Network((int(network.network_address) + (index << (32 - prefix)), prefix))
    return IPv6Network((int(network.network_address) + (index << (128 - prefix)), prefix))
