"""nftables mode for every combination of policies, ways in, endpoints and affinity, by the reference's own conditions.

What endpoints a policy may use is written down here by hand for each kind of endpoints; what the table must then hold
follows from `hasEndpoints`, `hasInternalEndpoints`, `hasExternalEndpoints` and the like (syncProxyRules,
pkg/proxy/nftables/proxier.go; CategorizeEndpoints, pkg/proxy/topology.go).
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from itertools import pairwise, product
from typing import Any

import pytest

from lab.model.nft_ruleset import NftRuleset
from lab.model.service import Endpoint, ServiceUnit
from lab.proxy.nftables import render
from tests.rendered_nftables import BASE, CONFIG, EP_HERE, EP_THERE, affinities, elements, own
from tests.units import HERE, RANGES, THERE, VIPS, WEB

DRAINING_HERE, DRAINING_THERE = (replace(one, ready=False, terminating=True) for one in (HERE, THERE))
DEAD = replace(HERE, ready=False, serving=False, terminating=True)
HINTED = tuple(replace(one, zone_hints=frozenset({zone})) for one, zone in ((HERE, "b"), (THERE, "a")))

# endpoints -> those that policy Cluster may use, and policy Local: h(ere), t(here)
ENDPOINTS: dict[str, tuple[tuple[Endpoint, ...], str, str]] = {
    "none": ((), "", ""),
    "here": ((HERE,), "h", "h"),
    "there": ((THERE,), "t", ""),
    "both": ((HERE, THERE), "ht", "h"),
    "draining here": ((DRAINING_HERE,), "h", "h"),
    "draining there": ((DRAINING_THERE,), "t", ""),
    "draining here, ready there": ((DRAINING_HERE, THERE), "t", "h"),
    "ready here, draining there": ((HERE, DRAINING_THERE), "h", "h"),
    "dead": ((DEAD,), "", ""),
    "here hinted for another zone": (HINTED, "t", "h"),
}
EXTERNAL = (ip_address("198.51.100.7"),)
WAYS: dict[str, ServiceUnit] = {
    "cluster IP": WEB,
    "node port": replace(WEB, node_port=30080),
    "external IP": replace(WEB, external_ips=EXTERNAL),
    "load balancer": replace(WEB, load_balancer_ips=VIPS, source_ranges=RANGES[:1]),
    "all": replace(WEB, node_port=30080, external_ips=EXTERNAL, load_balancer_ips=VIPS, source_ranges=RANGES),
    "ranges alone": replace(WEB, source_ranges=RANGES),
}
NAMES = {"h": EP_HERE, "t": EP_THERE}


def verdicts(ruleset: NftRuleset, name: str) -> dict[str, str]:
    """Return which short word each key of a map leads to: a chain's prefix, reject or drop."""
    words = {key: verdict.removeprefix("goto ").split("-")[0] for key, verdict in elements(ruleset, name).items()}
    return {key.replace(" . tcp . 80", "").replace("tcp . ", ""): word for key, word in words.items()}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ENDPOINTS)
def test_a_table_holds_what_the_references_conditions_say(kind: str, way: str) -> None:
    endpoints, cluster, local = ENDPOINTS[kind]
    for external_local, internal_local, affinity in product((False, True), (False, True), (0, 90)):
        unit = replace(
            WAYS[way],
            endpoints=endpoints,
            external_local=external_local,
            internal_local=internal_local,
            affinity_seconds=affinity,
        )
        ruleset = render([unit], replace(CONFIG, zone="a"))
        addresses = [str(address) for address in (*unit.external_ips, *unit.load_balancer_ips)]
        ports = [str(unit.node_port)] if unit.node_port else []
        fate = "drop" if cluster or local else "reject"
        inside = local if internal_local else cluster
        outside = local if external_local else cluster
        ways_in = bool(addresses or ports)

        serving, refused = {}, {}
        if inside:
            serving["10.96.0.10"] = "local" if internal_local else "service"
        else:
            refused["10.96.0.10"] = fate
        if fate == "drop":
            serving |= dict.fromkeys(addresses, "external")
        if not outside:
            refused |= dict.fromkeys(addresses, fate)
        assert verdicts(ruleset, "service-ips") == serving
        assert verdicts(ruleset, "no-endpoint-services") == refused
        assert verdicts(ruleset, "service-nodeports") == dict.fromkeys(ports if fate == "drop" else (), "external")
        assert verdicts(ruleset, "no-endpoint-nodeports") == dict.fromkeys(() if outside else ports, fate)
        limited = [str(address) for address in unit.load_balancer_ips if unit.source_ranges]
        assert verdicts(ruleset, "firewall-ips") == dict.fromkeys(limited, "firewall")

        uses_cluster, uses_local = ways_in or not internal_local, internal_local or (external_local and ways_in)
        reachable = {*(cluster if uses_cluster else ""), *(local if uses_local else "")}
        hairpins = ["10.244.1.2 . 10.244.1.2 . tcp . 8080"] if "h" in reachable else []
        assert list(elements(ruleset, "hairpin-connections")) == hairpins
        chains = {f"endpoint-{NAMES[one]}" for one in reachable if affinity}
        chains |= {f"service-{BASE}"} if cluster and uses_cluster else set()
        chains |= {f"local-{BASE}"} if local and uses_local else set()
        chains |= {f"external-{BASE}"} if ways_in and fate == "drop" else set()
        chains |= {f"firewall-{BASE}"} if limited else set()
        assert set(own(ruleset)) == chains
        sets = {one.name for one in affinities(ruleset)}
        assert sets == {f"affinity-{NAMES[one]}" for one in reachable if affinity}


def test_every_verdict_leads_to_a_chain_that_is_there() -> None:
    for (endpoints, _, _), unit, external, internal, affinity in product(
        ENDPOINTS.values(), WAYS.values(), (False, True), (False, True), (0, 90)
    ):
        changes: dict[str, Any] = {"external_local": external, "internal_local": internal, "affinity_seconds": affinity}
        ruleset = render([replace(unit, endpoints=endpoints, **changes)], CONFIG)
        text = ruleset.restore_text().replace(",", " ").split()
        named = {after for word, after in pairwise(text) if word in ("goto", "jump")}
        chains = {chain.name for chain in ruleset.chains}
        assert named <= chains
        reached = named | {chain.name for chain in ruleset.chains if chain.hook}
        assert reached | {"reject-chain"} == chains  # and no chain that nothing leads to


def test_an_external_ip_that_is_the_cluster_ip_leads_outside() -> None:
    """kube-proxy adds external IPs after the ClusterIP, and of two elements with one key the later one replaces."""
    for unit in (
        replace(WEB, external_ips=(WEB.cluster_ip,)),
        replace(WEB, load_balancer_ips=(WEB.cluster_ip,)),
    ):
        assert elements(render([unit], CONFIG), "service-ips") == {"10.96.0.10 . tcp . 80": f"goto external-{BASE}"}
    nobody = replace(WEB, external_ips=(WEB.cluster_ip,), internal_local=True, endpoints=(THERE,))
    ruleset = render([nobody], CONFIG)
    assert elements(ruleset, "no-endpoint-services") == {"10.96.0.10 . tcp . 80": "drop"}
    assert elements(ruleset, "service-ips") == {"10.96.0.10 . tcp . 80": f"goto external-{BASE}"}


def test_an_address_of_two_services_is_served_and_refused_by_one_each() -> None:
    """Each map has its own answer: the one that drops or rejects is asked after the other has translated."""
    idle = replace(WEB, name="idle", cluster_ip=ip_address("10.96.0.11"), external_ips=EXTERNAL, endpoints=())
    ruleset = render([idle, replace(WEB, external_ips=EXTERNAL)], CONFIG)
    assert verdicts(ruleset, "service-ips") == {"10.96.0.10": "service", "198.51.100.7": "external"}
    assert verdicts(ruleset, "no-endpoint-services") == {"10.96.0.11": "reject", "198.51.100.7": "reject"}
