"""The table of nftables mode, and the names that the one service port of `tests.units` gives in it."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network
from typing import Any

from lab.model.nft_ruleset import NftRuleset, NftSet
from lab.model.service import ServiceUnit
from lab.proxy.config import ProxyConfig
from lab.proxy.nftables import render
from tests import units

CONFIG = replace(
    units.CONFIG,
    node_port_networks=(ip_network("192.168.0.10/32"),),
    node_port_addresses=(ip_address("192.168.0.10"),),
    localhost_node_ports=False,
)
BASE = "SUSTUHLJ-default/web/tcp/http"
EP_HERE, EP_THERE = f"SVLGPL42-{BASE[9:]}__10.244.1.2/8080", f"AAOQDDFY-{BASE[9:]}__10.244.2.2/8080"
MARK = "meta mark set meta mark | 0x00004000"
BOTH = "numgen random mod 2 map { 0 : 10.244.1.2 . 8080, 1 : 10.244.2.2 . 8080 }"
EVERYWHERE = units.web(node_port=30080, external_ips=(ip_address("198.51.100.7"),), load_balancer_ips=units.VIPS[:1])
LOCAL = replace(EVERYWHERE, external_local=True)


def rendered(*service_ports: ServiceUnit, config: ProxyConfig = CONFIG, **more: Any) -> NftRuleset:
    return render(service_ports or (units.WEB,), config, **more)


def rules(ruleset: NftRuleset, name: str) -> list[str]:
    """Return the rules of a chain, which has to be there."""
    chain = ruleset.chain(name)
    assert chain is not None, f"no chain {name}"
    return list(chain.rules)


def elements(ruleset: NftRuleset, name: str) -> dict[str, str]:
    """Return the verdict of each key of a set or map, which has to be there."""
    found = ruleset.set(name)
    assert found is not None, f"no set {name}"
    return {element.key: element.verdict for element in found.elements}


def affinities(ruleset: NftRuleset) -> list[NftSet]:
    """Return the sets that remember who was served by which endpoint."""
    return [one for one in ruleset.sets if one.name.startswith("affinity-")]


def own(ruleset: NftRuleset, owner: str = "default/web") -> list[str]:
    """Return the names of a Service's own chains."""
    return [chain.name for chain in ruleset.chains if chain.owner == owner]
