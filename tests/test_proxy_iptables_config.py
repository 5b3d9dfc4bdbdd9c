"""iptables mode: what the configuration makes of the rules."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from lab.model.service import Endpoint
from lab.proxy.config import Detector, ProxyConfig
from tests.rendered_iptables import COMMENT, HASH, rendered, rules
from tests.units import CONFIG, web

DETECTORS = [
    (
        Detector(network=ip_network("10.244.1.0/24")),
        "! -s 10.244.1.0/24 -d 10.96.0.10/32 -p tcp",
        "-s 10.244.1.0/24 -m",
    ),
    (Detector(interface="cbr0"), "-d 10.96.0.10/32 ! -i cbr0 -p tcp", "-i cbr0 -m"),
    (Detector(interface="veth", prefix=True), "-d 10.96.0.10/32 ! -i veth+ -p tcp", "-i veth+ -m"),
]


@pytest.mark.parametrize(("detector", "not_local", "local"), DETECTORS)
def test_a_detector_spares_local_traffic(detector: Detector, not_local: str, local: str) -> None:
    ruleset = rendered(web(node_port=30080, external_local=True), config=replace(CONFIG, detector=detector))
    mark = rules(ruleset, "nat", f"KUBE-SVC-{HASH}")[0]
    assert mark == f'{not_local} {COMMENT} cluster IP" -m tcp --dport 80 -j KUBE-MARK-MASQ'
    assert rules(ruleset, "nat", f"KUBE-EXT-{HASH}")[0].startswith(local)


def test_without_a_detector_cluster_ip_traffic_is_not_marked_unless_all_is() -> None:
    config = replace(CONFIG, detector=None)
    assert len(rules(rendered(config=config), "nat", f"KUBE-SVC-{HASH}")) == 2
    for one in (config, CONFIG):
        mark = rules(rendered(config=replace(one, masquerade_all=True)), "nat", f"KUBE-SVC-{HASH}")[0]
        assert mark == f'-d 10.96.0.10/32 -p tcp {COMMENT} cluster IP" -m tcp --dport 80 -j KUBE-MARK-MASQ'


@pytest.mark.parametrize(("bit", "mark"), [(0, "0x1"), (14, "0x4000"), (31, "0x80000000")])
def test_the_masquerade_bit_is_used_wherever_the_mark_is(bit: int, mark: str) -> None:
    ruleset = rendered(config=replace(CONFIG, masquerade_mark=1 << bit))
    assert rules(ruleset, "nat", "KUBE-MARK-MASQ") == [f"-j MARK --set-xmark {mark}/{mark}"]
    assert rules(ruleset, "nat", "KUBE-POSTROUTING")[:2] == [
        f"-m mark ! --mark {mark}/{mark} -j RETURN",
        f"-j MARK --set-xmark {mark}/0x0",
    ]
    assert f"--mark {mark}/{mark} -j ACCEPT" in rules(ruleset, "filter", "KUBE-FORWARD")[1]


NOTE = '-m comment --comment "kubernetes service nodeports; NOTE: this must be the last rule in this chain"'


@pytest.mark.parametrize(
    ("changes", "tail"),
    [
        ({}, [f"{NOTE} -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS"]),
        ({"localhost_node_ports": False}, [f"! -d 127.0.0.0/8 {NOTE} -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS"]),
        (
            {"node_port_networks": ("10.0.0.0/8", "127.0.0.0/8"), "node_port_addresses": ("10.0.0.1", "127.0.0.1")},
            [f"-d 10.0.0.1/32 {NOTE} -j KUBE-NODEPORTS", f"-d 127.0.0.1/32 {NOTE} -j KUBE-NODEPORTS"],
        ),
        (
            {
                "node_port_networks": ("10.0.0.0/8", "127.0.0.0/8"),
                "node_port_addresses": ("10.0.0.1", "127.0.0.1"),
                "localhost_node_ports": False,
            },
            [f"-d 10.0.0.1/32 {NOTE} -j KUBE-NODEPORTS"],
        ),
        ({"node_port_networks": ("10.0.0.0/8",)}, []),  # no address of ours is inside
    ],
)
def test_node_ports_are_looked_up_last_and_only_where_they_may_be(changes: dict[str, Any], tail: list[str]) -> None:
    made = dict(changes)
    for field, make in (("node_port_networks", ip_network), ("node_port_addresses", ip_address)):
        if field in made:
            made[field] = tuple(make(text) for text in made[field])
    chain = rules(rendered(web(node_port=30080), config=replace(CONFIG, **made)), "nat", "KUBE-SERVICES")
    assert chain[1:] == tail


def test_without_localhost_node_ports_nothing_is_counted_or_blocked_for_them() -> None:
    ruleset = rendered(web(node_port=30080), config=replace(CONFIG, localhost_node_ports=False))
    assert rules(ruleset, "filter", "KUBE-FIREWALL") == []
    assert len(rules(ruleset, "nat", "KUBE-NODEPORTS")) == 1


def test_without_nfacct_what_only_counts_is_left_out() -> None:
    ruleset = rendered(web(node_port=30080), counters=False)
    assert ruleset.counters == ()
    assert "nfacct" not in ruleset.restore_text()
    assert rules(ruleset, "nat", "KUBE-NODEPORTS") == [f'-p tcp {COMMENT}" -m tcp --dport 30080 -j KUBE-EXT-{HASH}']
    assert rules(ruleset, "filter", "KUBE-FORWARD")[0] == "-m conntrack --ctstate INVALID -j DROP"
    assert len(rules(ruleset, "filter", "KUBE-FIREWALL")) == 1


def test_with_nfacct_the_counters_are_named() -> None:
    ruleset = rendered(web(node_port=30080))
    assert set(ruleset.counters) == {"ct_state_invalid_dropped_pkts", "localhost_nps_accepted_pkts"}
    assert all(name in ruleset.restore_text() for name in ruleset.counters)


def test_a_liberal_conntrack_drops_nothing_invalid() -> None:
    assert len(rules(rendered(config=replace(CONFIG, tcp_be_liberal=True)), "filter", "KUBE-FORWARD")) == 2


def test_ipv6_has_masks_refusals_and_brackets_of_its_own() -> None:
    config = ProxyConfig(
        node="node-1",
        family="ipv6",
        address=ip_address("fd00::10"),
        localhost_node_ports=False,
        detector=Detector(network=ip_network("fd00:10:244::/56")),
    )
    endpoint = Endpoint(address=ip_address("fd00:10:244:1::2"), port=8080, node="node-1")
    served = web(
        cluster_ip=ip_address("fd00:10:96::10"), endpoints=(endpoint,), affinity_seconds=10_800, node_port=30080
    )
    unserved = web(name="none", cluster_ip=ip_address("fd00:10:96::11"), endpoints=(), node_port=30081)
    ruleset = rendered(unserved, served, config=config)
    text = ruleset.restore_text()
    assert "--to-destination [fd00:10:244:1::2]:8080\n" in text
    assert "-s fd00:10:244:1::2/128 " in text
    assert f"--mask {':'.join(['ffff'] * 8)} --rsource" in text
    assert text.count("-j REJECT --reject-with icmp6-port-unreachable\n") == 2
    assert (
        rules(ruleset, "nat", "KUBE-SERVICES")[-1]
        == f"! -d ::1/128 {NOTE} -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS"
    )
    assert rules(ruleset, "filter", "KUBE-FIREWALL") == []
    assert "127.0.0.0" not in text
