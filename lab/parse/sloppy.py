"""Addresses, ranges and durations as kube-proxy reads them: as Go did before it became strict.

Clusters hold objects that were accepted when leading zeros were (ParseIPSloppy and ParseCIDRSloppy,
k8s.io/utils/net): `010.0.0.1` and `::ffff:10.0.0.1` mean 10.0.0.1, and a range may have bits set below its prefix. Of
new objects the API server refuses these since 1.36 (StrictIPCIDRValidation).
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from lab.errors import TopologyError
from lab.parse.mistake import show

ADDRESS = "an address such as 10.0.0.1 or fd00::1"
RANGE = "a range such as 10.244.0.0/16"
_LEADING_ZEROS = re.compile(r"(?<![0-9A-Fa-f:])0+(?=[0-9])")  # not those within an IPv6 address
_CIDR = re.compile(r"[0-9A-Fa-f:.]+/[0-9]{1,3}")  # Python would also take a netmask, or no length at all
_MAPPED_BITS = 96  # ::ffff:0:0/96 holds the IPv4 addresses
_NUMBER = r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)"
_DURATION = re.compile(rf"[+]?(?:(?:{_NUMBER}(?:ns|us|µs|μs|ms|h|m|s))+|0)")
_PART = re.compile(rf"({_NUMBER})(ns|us|µs|μs|ms|h|m|s)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def address_of(text: str) -> IPv4Address | IPv6Address:
    """Return the address that `text` means; `ValueError` if it means none: a zone (`fe80::1%eth0`) means nothing."""
    found = ip_address(_normal(text))
    if isinstance(found, IPv4Address):
        return found
    if found.scope_id is not None:
        raise ValueError(text)
    return found.ipv4_mapped or found


def parse_address(text: str) -> IPv4Address | IPv6Address:
    """Return the address that `text` means; `TopologyError` if it means none."""
    try:
        return address_of(text)
    except ValueError:
        raise TopologyError(f"address {show(text)}: expected IPv4 or IPv6, such as 10.96.0.10") from None


def parse_network(text: str) -> IPv4Network | IPv6Network:
    """Return the network that `text` means, surrounding spaces aside; `TopologyError` if it means none."""
    try:
        if _CIDR.fullmatch(text.strip()):
            return _network(text.strip())
    except ValueError:
        pass
    raise TopologyError(f"range {show(text)}: expected a CIDR, such as 10.244.0.0/16")


def _network(text: str) -> IPv4Network | IPv6Network:
    found = ip_network(_normal(text), strict=False)
    mapped = found.network_address.ipv4_mapped if isinstance(found, IPv6Network) else None
    if mapped is None or found.prefixlen < _MAPPED_BITS:
        return found
    return IPv4Network((mapped, found.prefixlen - _MAPPED_BITS))


def parse_duration(text: str) -> float:
    """Return the seconds of a Go duration such as `24h0m0s`; `TopologyError` if it is none, or negative."""
    wrong = duration(text)
    if wrong:
        raise TopologyError(wrong)
    return sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))


def address(text: str) -> str | None:
    """Judge an address: None when good, else what is wrong."""
    try:
        address_of(text)
    except ValueError:
        return f"not an address: {show(text)}; expected {ADDRESS}"
    return None


def cidr(text: str) -> str | None:
    """Judge a range that may have bits set below its prefix: None when good, else what is wrong."""
    try:
        parse_network(text)
    except TopologyError:
        alone = "" if address(text) else f", or {text}/{128 if ':' in text else 32} for this address alone"
        return f"not a range: {show(text)}; expected {RANGE}{alone}"
    return None if text == text.strip() else f"not a range: {show(text)} has spaces around it; expected {RANGE}"


def source_range(text: str) -> str | None:
    """Judge one of loadBalancerSourceRanges; here alone the API server forgives spaces around it."""
    return cidr(text.strip())


def duration(text: str) -> str | None:
    """Judge a duration as Go writes it; none of kube-proxy's may be negative."""
    if _DURATION.fullmatch(text):
        return None
    return f"not a duration: {show(text)}; expected one such as 24h0m0s, 90s or 0s"


def _normal(text: str) -> str:
    return text if ":" in text else _LEADING_ZEROS.sub("", text)
