"""One service port, `default/web:http`, with an endpoint on each of two nodes, of which the first one renders it."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network
from typing import Any

from lab.model.service import Endpoint, ServiceUnit
from lab.proxy.config import Detector, ProxyConfig

HERE = Endpoint(address=ip_address("10.244.1.2"), port=8080, node="node-1")
THERE = Endpoint(address=ip_address("10.244.2.2"), port=8080, node="node-2")
WEB = ServiceUnit(
    namespace="default",
    name="web",
    port_name="http",
    protocol="TCP",
    cluster_ip=ip_address("10.96.0.10"),
    port=80,
    endpoints=(HERE, THERE),
)
CONFIG = ProxyConfig(
    node="node-1",
    family="ipv4",
    address=ip_address("192.168.0.10"),
    detector=Detector(network=ip_network("10.244.0.0/16")),
)
VIPS = (ip_address("203.0.113.11"), ip_address("203.0.113.12"))
RANGES = (ip_network("198.51.100.0/24"), ip_network("192.168.0.0/24"))


def web(**changes: Any) -> ServiceUnit:
    """Return the service port with other values."""
    return replace(WEB, **changes)
