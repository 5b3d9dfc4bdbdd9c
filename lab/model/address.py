"""Addresses of either family, as one type."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TYPE_CHECKING, Literal

Family = Literal["ipv4", "ipv6"]
FAMILIES: tuple[Family, Family] = ("ipv4", "ipv6")
FAMILY_NAMES: Mapping[Family, str] = {"ipv4": "IPv4", "ipv6": "IPv6"}
"""What people and Kubernetes call each."""

if TYPE_CHECKING:
    IPAddress = IPv4Address | IPv6Address
    IPNetwork = IPv4Network | IPv6Network
else:  # msgspec allows one custom type in a union: at run time the common base stands for both
    from ipaddress import _BaseAddress as IPAddress
    from ipaddress import _BaseNetwork as IPNetwork

__all__ = [
    "FAMILIES",
    "FAMILY_NAMES",
    "Family",
    "IPAddress",
    "IPNetwork",
    "all_of",
    "family_of",
    "host_network",
    "mac_of",
]


def family_of(address: IPAddress | IPNetwork) -> Family:
    """Return the family of an address or a network."""
    return "ipv4" if isinstance(address, IPv4Address | IPv4Network) else "ipv6"


def host_network(address: IPAddress) -> IPNetwork:
    """Return the network that holds `address` alone: /32 or /128."""
    if isinstance(address, IPv4Address):
        return IPv4Network((address, 32))
    return IPv6Network((address, 128))


def all_of(kin: IPAddress | IPNetwork) -> IPNetwork:
    """Return the network of every address of the family of `kin`: where a default route leads."""
    return IPv4Network("0.0.0.0/0") if family_of(kin) == "ipv4" else IPv6Network("::/0")


def mac_of(address: IPAddress) -> str:
    """Return a fixed MAC for the interface that has `address`, such as `0a:58:0a:f4:01:02`.

    0a:58 is the prefix that CNI's bridge plugin used for addresses derived from IPv4 (`pkg/utils/hwaddr`);
    of an IPv6 address the last four bytes are taken.
    """
    return ":".join(f"{byte:02x}" for byte in b"\x0a\x58" + address.packed[-4:])
