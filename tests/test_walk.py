"""The walk tells what the reference says: section 6's table in both modes, what is refused, what is unknown."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from lab.model.lab import Mode
from lab.model.proxy_config import DetectLocal, IPTablesConfig, NFTablesConfig
from lab.parse import saved_rules
from lab.parse.asked import packet_of
from lab.proxy.explain import of_rules
from tests.walking import (
    ALL,
    CLUSTER_IP,
    ELSEWHERE,
    EXTERNAL,
    HERE,
    MODES,
    NODE,
    NODE_PORT,
    OUTSIDE,
    POD,
    THERE,
    VIP,
    ends,
    masqueraded,
    objects,
    told,
)

# --- section 6, "net effect": (source, to, policy of external traffic) -> endpoints, masqueraded ----------------------

EFFECT = [
    *((POD, CLUSTER_IP, policy, ALL, False) for policy in ("Cluster", "Local")),
    *((NODE, CLUSTER_IP, policy, ALL, True) for policy in ("Cluster", "Local")),
    *((ELSEWHERE, CLUSTER_IP, policy, ALL, True) for policy in ("Cluster", "Local")),
    *((source, to, "Cluster", ALL, True) for source in (POD, NODE, ELSEWHERE) for to in OUTSIDE),
    *((POD, to, "Local", ALL, False) for to in OUTSIDE),
    *((NODE, to, "Local", ALL, True) for to in OUTSIDE),
    *((ELSEWHERE, to, "Local", {HERE}, False) for to in OUTSIDE),
]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("source", "to", "policy", "endpoints", "masked"), EFFECT)
def test_the_net_effect_is_the_references(
    source: str,
    to: str,
    policy: str,
    endpoints: set[str],
    masked: bool,
    mode: Mode,
) -> None:
    found = told(source, to, mode, objects(external_traffic_policy=policy))
    assert ends(found) == {end: Fraction(1, len(endpoints)) for end in endpoints}
    assert masqueraded(found) is masked
    assert {way.service for way in found.ways} == {"default/web:http"}


@pytest.mark.parametrize(
    ("source", "to", "policy", "endpoints", "masked"), [one for one in EFFECT if EXTERNAL not in one]
)
def test_the_net_effect_was_the_same_in_the_classic_shape(
    source: str,
    to: str,
    policy: str,
    endpoints: set[str],
    masked: bool,
) -> None:
    found = told(source, to, "iptables", objects(external_traffic_policy=policy), release="classic")
    assert ends(found) == {end: Fraction(1, len(endpoints)) for end in endpoints}
    assert masqueraded(found) is masked


def test_a_marked_packet_was_dropped_on_its_way_in_or_out_and_passed_when_forwarded() -> None:
    ranges = objects(load_balancer_source_ranges=("192.0.2.0/24",))
    assert ends(told(NODE, VIP, "iptables", ranges, release="classic")) == {"drop": 1}
    assert ends(told(ELSEWHERE, VIP, "iptables", ranges, release="classic")) == {VIP: 1}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("source", "masked"), [(POD, False), (NODE, True), (ELSEWHERE, True)])
def test_internal_policy_local_limits_the_endpoints_and_not_the_masquerading(
    source: str,
    masked: bool,
    mode: Mode,
) -> None:
    found = told(source, CLUSTER_IP, mode, objects(internal_traffic_policy="Local"))
    assert ends(found) == {HERE: 1}
    assert masqueraded(found) is masked


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("source", [POD, NODE, ELSEWHERE])
def test_masquerade_all_masquerades_every_cluster_ip(source: str, mode: Mode) -> None:
    fields: dict[str, Any] = {
        "iptables": IPTablesConfig(masquerade_all=True),
        "nftables": NFTablesConfig(masquerade_all=True),
    }
    assert masqueraded(told(source, CLUSTER_IP, mode, **fields))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("source", [POD, NODE, ELSEWHERE])
def test_without_a_detector_no_cluster_ip_is_masqueraded_and_pods_are_outsiders(source: str, mode: Mode) -> None:
    assert not masqueraded(told(source, CLUSTER_IP, mode, cluster_cidr=""))
    local = objects(external_traffic_policy="Local")
    assert ends(told(POD, VIP, mode, local, cluster_cidr="")) == {HERE: 1}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "fields",
    [
        {"detect_local_mode": "NodeCIDR"},
        {"detect_local_mode": "BridgeInterface", "detect_local": DetectLocal(bridge_interface="br7")},
        {"detect_local_mode": "InterfaceNamePrefix", "detect_local": DetectLocal(interface_name_prefix="veth")},
    ],
    ids=lambda fields: str(fields["detect_local_mode"]),
)
def test_every_detector_knows_a_pod_of_this_node(fields: dict[str, Any], mode: Mode) -> None:
    assert not masqueraded(told(POD, CLUSTER_IP, mode, **fields))
    assert masqueraded(told(ELSEWHERE, CLUSTER_IP, mode, **fields))


@pytest.mark.parametrize("mode", MODES)
def test_a_hairpin_is_masqueraded_and_says_so(mode: Mode) -> None:
    found = told("10.244.1.2", CLUSTER_IP, mode)
    reasons = {f"{one.fate.destination}": one.fate.masquerade for one in found.ways}
    assert reasons["10.244.2.2"] == ""
    assert reasons["10.244.1.2"].startswith("hairpin")


# --- refused, dropped, passed ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("to", "endpoints", "source", "end"),
    [
        (CLUSTER_IP, (), POD, "reject"),
        (CLUSTER_IP, (), NODE, "reject"),
        (VIP, (), ELSEWHERE, "reject"),
        (NODE_PORT, (), ELSEWHERE, "reject"),
        (VIP, (("10.244.2.2", "node-2"),), ELSEWHERE, "drop"),
        (NODE_PORT, (("10.244.2.2", "node-2"),), ELSEWHERE, "drop"),
        (VIP, (("10.244.2.2", "node-2"),), POD, THERE),
    ],
)
def test_what_nothing_serves_is_refused_and_what_nothing_here_serves_is_dropped(
    to: str, endpoints: tuple[tuple[str, str], ...], source: str, end: str, mode: Mode
) -> None:
    found = told(source, to, mode, objects(endpoints, external_traffic_policy="Local"))
    assert ends(found) == {end: 1}
    assert end == THERE or "default/web" in found.ways[0].service


@pytest.mark.parametrize("mode", MODES)
def test_a_node_asking_an_endpointless_external_address_is_refused_in_nftables_mode_only(mode: Mode) -> None:
    """Section 10, 5."""
    end = "reject" if mode == "nftables" else EXTERNAL
    assert ends(told(NODE, EXTERNAL, mode, objects(()))) == {end: 1}


@pytest.mark.parametrize("mode", MODES)
def test_another_port_of_a_cluster_ip_passes_in_iptables_mode_and_is_refused_in_nftables_mode(mode: Mode) -> None:
    """Section 10, 1."""
    end = "reject" if mode == "nftables" else "10.96.0.10:81"
    assert ends(told(POD, "10.96.0.10:81", mode)) == {end: 1}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("source", "passes"), [("198.51.100.9", True), ("192.0.2.7", False), (POD, False)])
def test_source_ranges_let_in_whom_they_name(source: str, passes: bool, mode: Mode) -> None:
    found = told(source, VIP, mode, objects(load_balancer_source_ranges=("198.51.100.0/24",)))
    assert set(ends(found)) == (ALL if passes else {"drop"})
    assert ends(told(source, NODE_PORT, mode, objects(load_balancer_source_ranges=("198.51.100.0/24",)))).keys() == ALL


@pytest.mark.parametrize(("mode", "ends_at"), [("iptables", ALL), ("nftables", {"127.0.0.1:30080"})])
def test_localhost_node_ports_are_iptables_modes_alone(mode: Mode, ends_at: set[str]) -> None:
    """Section 10, 2."""
    found = told("127.0.0.1", "127.0.0.1:30080", mode)
    assert set(ends(found)) == ends_at
    if mode == "iptables":
        assert any("route_localnet" in note for note in found.notes)


def test_an_outsider_does_not_reach_loopback() -> None:
    found = told(ELSEWHERE, "127.0.0.1:22", "iptables")
    assert ends(found) == {"drop": 1}
    assert "block incoming localnet connections" in found.ways[0].fate.place


@pytest.mark.parametrize("mode", MODES)
def test_another_protocol_is_another_service(mode: Mode) -> None:
    assert ends(told(POD, CLUSTER_IP, mode, protocol="udp")).keys() != ALL


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("count", [1, 3, 7])
def test_every_endpoint_has_the_same_chance(count: int, mode: Mode) -> None:
    many = tuple((f"10.244.2.{number}", "node-2") for number in range(2, 2 + count))
    for share in ends(told(POD, CLUSTER_IP, mode, objects(many))).values():
        assert abs(share - Fraction(1, count)) < Fraction(1, 1 << 29)  # the kernel's random numbers have 31 bits


@pytest.mark.parametrize("mode", MODES)
def test_affinity_is_assumed_to_be_empty_and_said(mode: Mode) -> None:
    found = told(POD, CLUSTER_IP, mode, objects(session_affinity="ClientIP"))
    assert ends(found).keys() == ALL
    assert any("assumed to be empty" in note for note in found.notes)


# --- what only the order of things shows -----------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_the_mark_is_gone_when_the_packet_leaves(mode: Mode) -> None:
    found = told(NODE, CLUSTER_IP, mode)
    assert {way.steps[-1].after.mark for way in found.ways} == {0}
    assert any(step.after.mark == 0x4000 for step in found.ways[0].steps)


def test_what_the_node_says_to_itself_comes_back_by_lo_and_is_not_translated_again() -> None:
    nft = """table ip t {
	chain again {
		type nat hook prerouting priority dstnat; policy accept;
		dnat to 10.0.0.9:9
	}
	chain early {
		type filter hook prerouting priority filter; policy accept;
		iifname "lo" tcp dport 7 drop
	}
}
"""
    tables, _ = saved_rules.read(nft, "a")
    assert ends(of_rules(tables, packet_of("127.0.0.1", "127.0.0.1:8", "tcp"))) == {"127.0.0.1:8": 1}
    assert ends(of_rules(tables, packet_of("127.0.0.1", "127.0.0.1:7", "tcp"))) == {"drop": 1}


def test_a_node_asking_its_own_endpointless_node_port_is_refused_when_it_comes_back() -> None:
    found = told(NODE, NODE_PORT, "iptables", objects(()))
    assert ends(found) == {"reject": 1}
    assert [step.hook for step in found.ways[0].steps][-1] == "INPUT"
