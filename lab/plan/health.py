"""Which health checks each node answers: kube-proxy's own, and those of its Services.

Source: pkg/proxy/healthcheck; a Service's is asked for with healthCheckNodePort and externalTrafficPolicy Local.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

from lab.model.address import FAMILIES, Family, IPAddress, family_of
from lab.model.cluster import Cluster
from lab.model.ops import Health
from lab.model.proxy_config import KubeProxyConfiguration
from lab.model.service import ServiceUnit
from lab.parse.sloppy import parse_address
from lab.proxy.config import ProxyConfig, configure
from lab.proxy.partial import interfaces
from lab.proxy.services import units

PORT = 10256
"""Where kube-proxy answers for itself, unless healthzBindAddress says another port."""

_WITH_PORT = re.compile(r"(?:\[([^]]*)\]|([^:]*)):([0-9]+)")  # other texts are addresses alone

EVERYWHERE: dict[Family, IPAddress] = {"ipv4": IPv4Address(0), "ipv6": IPv6Address(0)}


def healths(cluster: Cluster) -> Iterator[Health]:
    """Yield what each node answers on which of its addresses."""
    asking = tuple(service for service in cluster.services if service.spec.health_check_node_port)
    keys = {service.metadata.key for service in asking}
    slices = [one for one in cluster.slices if one.service_key in keys]
    found = {family: units(asking, slices, family) for family in FAMILIES}
    address, number = _bound(cluster.proxy)
    for node in cluster.nodes:
        name = node.metadata.name
        own = Health(netns=name, node=name, pod="kube-proxy", addresses=(address,), port=number, families=FAMILIES)
        yield own
        checks: dict[str, Health] = {}
        for family in FAMILIES:
            if found[family]:
                settings = (cluster.proxy, cluster.nodes, family)
                config = configure(*settings, node=name, mode=cluster.mode, interfaces=interfaces(cluster, name))
                _add(checks, found[family], config, own)
        yield from checks.values()


def _bound(proxy: KubeProxyConfiguration) -> tuple[IPAddress, int]:
    """Return where kube-proxy answers for itself (SetDefaults_KubeProxyConfiguration, AppendPortIfNeeded)."""
    if proxy.healthz_bind_address:
        found = _WITH_PORT.fullmatch(proxy.healthz_bind_address)
        text = proxy.healthz_bind_address
        return (parse_address(found[1] or found[2]), int(found[3])) if found else (parse_address(text), PORT)
    family: Family = "ipv6" if proxy.bind_address and family_of(parse_address(proxy.bind_address)) == "ipv6" else "ipv4"
    return EVERYWHERE[family], PORT


def _add(checks: dict[str, Health], found: Sequence[ServiceUnit], config: ProxyConfig, own: Health) -> None:
    """Add what one family's proxier answers: both families' have the same port, and each its own endpoints."""
    here = config.node_port_addresses if config.node_port_networks else (EVERYWHERE[config.family],)
    local: dict[tuple[str, int], set[IPAddress]] = {}
    for unit in found:
        if unit.health_check_node_port:
            check = (f"{unit.namespace}/{unit.name}", unit.health_check_node_port)
            ready = (one.address for one in unit.endpoints if one.ready and one.node == config.node)
            local.setdefault(check, set()).update(ready)
    for (service, port), addresses in local.items():
        name = f"kube-proxy:{service}:{config.family}"
        checks[name] = replace(
            own,
            pod=name,
            addresses=here,
            port=port,
            service=service,
            endpoints=len(addresses),
            families=(config.family,),
        )
