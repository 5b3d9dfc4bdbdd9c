"""What kubeadm was told of a cluster: its ClusterConfiguration, in the ConfigMap `kubeadm-config`.

Source: cmd/kubeadm/app/apis/kubeadm/v1beta4/types.go (v1.36).
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import Any

from lab.errors import TopologyError
from lab.parse.quick import values
from lab.parse.sloppy import parse_network


@dataclass(frozen=True, kw_only=True, slots=True)
class Kubeadm:
    """A cluster's name, and the ranges of its pods and Services; "" and nothing where it does not say."""

    name: str = ""
    pods: tuple[IPv4Network | IPv6Network, ...] = ()
    services: tuple[IPv4Network | IPv6Network, ...] = ()


def read(text: str) -> Kubeadm:
    """Return what a ClusterConfiguration says; nothing of what cannot be read, for it is only asked for defaults."""
    found = next(iter(values(text) or ()), None)
    told: dict[str, Any] = found if isinstance(found, dict) else {}
    network = told.get("networking")
    ranges: dict[str, Any] = network if isinstance(network, dict) else {}
    name = told.get("clusterName")
    return Kubeadm(
        name=name if isinstance(name, str) else "",
        pods=_networks(ranges.get("podSubnet")),
        services=_networks(ranges.get("serviceSubnet")),
    )


def _networks(text: object) -> tuple[IPv4Network | IPv6Network, ...]:
    if not isinstance(text, str) or not text:
        return ()
    try:
        return tuple(parse_network(part) for part in text.split(","))
    except TopologyError:
        return ()
