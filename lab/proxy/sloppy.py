"""Addresses, ranges and durations as kube-proxy reads them: as Go did before it became strict.

Clusters hold objects that were accepted when leading zeros were (ParseIPSloppy and ParseCIDRSloppy,
k8s.io/utils/net): `010.0.0.1` means 10.0.0.1, and a range may have bits set below its prefix.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from lab.errors import TopologyError

_LEADING_ZEROS = re.compile(r"(?<![0-9A-Fa-f:])0+(?=[0-9])")  # not those within an IPv6 address
_CIDR = re.compile(r"[0-9A-Fa-f:.]+/[0-9]{1,3}")  # Python would also take a netmask, or no length at all
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ns|us|ms|h|m|s))+|0")
_PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|ms|h|m|s)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def parse_address(text: str) -> IPv4Address | IPv6Address:
    """Return the address that `text` means; `TopologyError` if it means none."""
    try:
        return ip_address(_normal(text))
    except ValueError:
        raise TopologyError(f"address {text!r}: expected IPv4 or IPv6, such as 10.96.0.10") from None


def parse_network(text: str) -> IPv4Network | IPv6Network:
    """Return the network that `text` means, surrounding spaces aside; `TopologyError` if it means none."""
    try:
        if _CIDR.fullmatch(text.strip()):
            return ip_network(_normal(text.strip()), strict=False)
    except ValueError:
        pass
    raise TopologyError(f"range {text!r}: expected a CIDR, such as 10.244.0.0/16")


def parse_duration(text: str) -> float:
    """Return the seconds of a Go duration such as `24h0m0s`; `TopologyError` if it is none."""
    if not _DURATION.fullmatch(text):
        raise TopologyError(f"duration {text!r}: expected one such as 24h0m0s, 90s or 0s")
    return sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))


def _normal(text: str) -> str:
    return text if ":" in text else _LEADING_ZEROS.sub("", text)
