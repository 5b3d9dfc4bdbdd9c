"""nftables mode: what the configuration makes of the table."""

from __future__ import annotations

import re
from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from lab.model.service import Endpoint
from lab.proxy.config import Detector, ProxyConfig
from lab.proxy.nftables import render
from tests.rendered_nftables import (
    BASE,
    CONFIG,
    EVERYWHERE,
    LOCAL,
    MARK,
    elements,
    rendered,
    rules,
)
from tests.units import WEB

DETECTORS = [
    (Detector(network=ip_network("10.244.1.0/24")), "ip saddr != 10.244.1.0/24", "ip saddr 10.244.1.0/24"),
    (Detector(interface="cbr0"), 'iifname != "cbr0"', 'iifname "cbr0"'),
    (Detector(interface="veth", prefix=True), 'iifname != "veth*"', 'iifname "veth*"'),
]


@pytest.mark.parametrize(("detector", "not_local", "local"), DETECTORS)
def test_a_detector_spares_local_traffic(detector: Detector, not_local: str, local: str) -> None:
    ruleset = rendered(LOCAL, config=replace(CONFIG, detector=detector))
    comment = "masquerade clusterIP traffic from outside cluster"
    assert rules(ruleset, "services")[0] == f'ip daddr @cluster-ips {not_local} {MARK} comment "{comment}"'
    pods = f'{local} goto service-{BASE} comment "short-circuit pod traffic"'
    assert rules(ruleset, f"external-{BASE}")[0] == pods


def test_without_a_detector_cluster_ip_traffic_is_not_marked_unless_all_is() -> None:
    config = replace(CONFIG, detector=None)
    assert len(rules(rendered(config=config), "services")) == 2
    for one in (config, CONFIG):
        mark = rules(rendered(config=replace(one, masquerade_all=True)), "services")[0]
        assert mark == f'ip daddr @cluster-ips {MARK} comment "masquerade all clusterIP traffic"'


@pytest.mark.parametrize(("bit", "mark"), [(0, "0x00000001"), (14, "0x00004000"), (31, "0x80000000")])
def test_the_masquerade_bit_is_used_wherever_the_mark_is(bit: int, mark: str) -> None:
    ruleset = rendered(EVERYWHERE, config=replace(CONFIG, masquerade_mark=1 << bit))
    assert rules(ruleset, "masquerading")[0] == (
        f"meta mark & {mark} != 0x00000000 meta mark set meta mark ^ {mark} masquerade fully-random"
    )
    for name in ("services", f"external-{BASE}"):
        assert f"meta mark set meta mark | {mark} comment" in rules(ruleset, name)[0]


def test_node_ports_are_looked_up_on_the_nodes_own_addresses() -> None:
    addresses = tuple(map(ip_address, ("127.0.0.1", "192.168.0.10", "192.168.0.11")))
    ruleset = rendered(EVERYWHERE, config=replace(CONFIG, node_port_addresses=addresses))
    assert elements(ruleset, "nodeport-ips") == {"192.168.0.10": "", "192.168.0.11": ""}  # loopback never
    here = "ip daddr @nodeport-ips meta l4proto . th dport vmap"
    assert rules(ruleset, "services")[-1] == f"{here} @service-nodeports"
    assert rules(ruleset, "nodeport-endpoints-check") == [f"{here} @no-endpoint-nodeports"]


def test_node_ports_of_no_address_at_all_leave_an_empty_set() -> None:
    ruleset = rendered(EVERYWHERE, config=replace(CONFIG, node_port_addresses=()))
    assert elements(ruleset, "nodeport-ips") == {}


def test_node_ports_without_limits_are_looked_up_on_every_local_address_but_loopback() -> None:
    ipv4 = replace(CONFIG, node_port_networks=(), detector=None)
    ipv6 = replace(ipv4, family="ipv6")
    for config, match in ((ipv4, "ip daddr != 127.0.0.0/8"), (ipv6, "ip6 daddr != ::1")):
        ruleset = render((), config)
        assert ruleset.set("nodeport-ips") is None
        here = f"{match} meta l4proto . th dport vmap"
        assert rules(ruleset, "services")[-1] == f"fib daddr type local {here} @service-nodeports"
        assert rules(ruleset, "nodeport-endpoints-check") == [f"{here} @no-endpoint-nodeports"]


def test_what_no_service_has_of_the_service_ranges_is_dropped() -> None:
    ranges = tuple(map(ip_network, ("10.97.0.0/16", "fd00:10:96::/112", "10.96.0.0/16", "10.97.0.0/16")))
    stray = rules(rendered(service_cidrs=ranges), "cluster-ips-check")
    assert stray[0] == 'ip daddr @cluster-ips reject comment "Reject traffic to invalid ports of ClusterIPs"'
    assert stray[1:] == [
        'ip daddr { 10.96.0.0/16, 10.97.0.0/16 } drop comment "Drop traffic to unallocated ClusterIPs"'
    ]
    assert len(rules(rendered(service_cidrs=ranges[1:2]), "cluster-ips-check")) == 1


def test_ipv6_has_types_and_endpoints_of_its_own() -> None:
    config = ProxyConfig(
        node="node-1",
        family="ipv6",
        address=ip_address("fd00::10"),
        detector=Detector(network=ip_network("fd00:10:244::/56")),
    )
    endpoint = Endpoint(address=ip_address("fd00:10:244:1::2"), port=8080, node="node-1")
    unit = replace(
        WEB, cluster_ip=ip_address("fd00:10:96::10"), endpoints=(endpoint,), affinity_seconds=10_800, node_port=30080
    )
    ruleset = rendered(unit, config=config)
    text = ruleset.restore_text()
    assert text.startswith("table ip6 kube-proxy {\n")
    assert "dnat to [fd00:10:244:1::2]:8080\n" in text
    assert "__fd00.10.244.1..2/8080 { ip6 saddr }\n" in text
    assert "ip6 daddr @cluster-ips ip6 saddr != fd00:10:244::/56 meta mark set" in text
    assert "fd00:10:96::10 . tcp . 80 : goto service-" in text
    assert not re.search(r"\bip \w|ipv4|127\.0\.0", text)
    plain = rendered(replace(unit, affinity_seconds=0), config=config)
    assert rules(plain, f"service-{BASE}")[0].startswith("meta l4proto tcp dnat ip6 addr . port to ")
