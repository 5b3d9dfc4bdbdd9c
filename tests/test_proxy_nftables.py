"""nftables mode beyond the golden cases: what each feature, and features together, make of the table."""

from __future__ import annotations

import re
from dataclasses import replace
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.model.kubernetes import Protocol
from lab.model.nft_ruleset import Element, NftRuleset
from lab.model.service import Endpoint, ServiceUnit
from lab.proxy.nftables import render
from tests.rendered_nftables import (
    BASE,
    BOTH,
    CONFIG,
    EP_HERE,
    EP_THERE,
    EVERYWHERE,
    LOCAL,
    MARK,
    affinities,
    elements,
    own,
    rendered,
    rules,
)
from tests.units import HERE, RANGES, THERE, VIPS, WEB, web


def test_a_cluster_ip_leads_to_one_of_all_endpoints() -> None:
    ruleset = rendered()
    assert elements(ruleset, "cluster-ips") == {"10.96.0.10": ""}
    assert elements(ruleset, "service-ips") == {"10.96.0.10 . tcp . 80": f"goto service-{BASE}"}
    assert own(ruleset) == [f"service-{BASE}"]
    assert rules(ruleset, f"service-{BASE}") == [f"meta l4proto tcp dnat ip addr . port to {BOTH}"]


def test_only_endpoints_of_this_node_can_ask_themselves() -> None:
    assert elements(rendered(), "hairpin-connections") == {"10.244.1.2 . 10.244.1.2 . tcp . 8080": ""}
    unready = replace(HERE, ready=False, serving=False)
    assert elements(rendered(web(endpoints=(unready, THERE))), "hairpin-connections") == {}


def test_two_service_ports_of_one_address_and_one_endpoint_share_elements() -> None:
    ruleset = rendered(WEB, web(port_name="other", port=81))
    assert elements(ruleset, "cluster-ips") == {"10.96.0.10": ""}
    assert len(elements(ruleset, "hairpin-connections")) == 1
    assert len(elements(ruleset, "service-ips")) == 2


def test_of_two_service_ports_that_claim_one_address_the_first_one_has_it() -> None:
    first, second = web(name="a", external_ips=VIPS), web(name="b", external_ips=VIPS)
    verdicts = elements(rendered(first, second), "service-ips")
    assert all("default/a/" in verdicts[f"{vip} . tcp . 80"] for vip in VIPS)


def test_every_way_in_from_outside_leads_to_the_external_chain() -> None:
    ruleset = rendered(EVERYWHERE)
    verdict = f"goto external-{BASE}"
    for key in ("198.51.100.7 . tcp . 80", "203.0.113.11 . tcp . 80"):
        assert elements(ruleset, "service-ips")[key] == verdict
    assert elements(ruleset, "service-nodeports") == {"tcp . 30080": verdict}
    assert rules(ruleset, f"external-{BASE}") == [f'{MARK} comment "masquerade"', f"goto service-{BASE}"]
    assert elements(ruleset, "no-endpoint-services") == elements(ruleset, "no-endpoint-nodeports") == {}


def test_without_endpoints_everything_is_refused_with_the_services_name() -> None:
    ruleset = rendered(replace(EVERYWHERE, endpoints=()))
    keys = ("10.96.0.10 . tcp . 80", "198.51.100.7 . tcp . 80", "203.0.113.11 . tcp . 80")
    refuse = ("goto reject-chain", "default/web:http")
    unserved, node_ports = ruleset.set("no-endpoint-services"), ruleset.set("no-endpoint-nodeports")
    assert unserved is not None
    assert node_ports is not None
    assert set(unserved.elements) == {Element(key, *refuse) for key in keys}
    assert node_ports.elements == (Element("tcp . 30080", *refuse),)
    assert elements(ruleset, "cluster-ips") == {"10.96.0.10": ""}
    assert elements(ruleset, "service-ips") == elements(ruleset, "service-nodeports") == {}
    assert own(ruleset) == []


def test_a_name_longer_than_a_comment_may_be_is_cut() -> None:
    (element,) = _elements(rendered(web(namespace="n" * 63, name="s" * 63, port_name="http", endpoints=())), "services")
    assert element.comment == f"{'n' * 63}/{'s' * 63}:"
    assert len(element.comment) == 128


def test_policy_local_without_a_local_endpoint_drops_outsiders_and_serves_pods_and_the_node() -> None:
    ruleset = rendered(replace(LOCAL, endpoints=(THERE,)))
    assert rules(ruleset, f"external-{BASE}") == [
        f'ip saddr 10.244.0.0/16 goto service-{BASE} comment "short-circuit pod traffic"',
        f'fib saddr type local {MARK} comment "masquerade local traffic"',
        f'fib saddr type local goto service-{BASE} comment "short-circuit local traffic"',
    ]  # and no goto to a local- chain that is not there
    assert own(ruleset) == [f"service-{BASE}", f"external-{BASE}"]
    assert elements(ruleset, "no-endpoint-services") == {
        "198.51.100.7 . tcp . 80": "drop",
        "203.0.113.11 . tcp . 80": "drop",
    }
    assert elements(ruleset, "no-endpoint-nodeports") == {"tcp . 30080": "drop"}
    assert elements(ruleset, "service-nodeports") == {"tcp . 30080": f"goto external-{BASE}"}  # for pods and the node


def test_policy_local_with_a_local_endpoint_ends_there() -> None:
    ruleset = rendered(LOCAL)
    assert rules(ruleset, f"external-{BASE}")[-1] == f"goto local-{BASE}"
    assert rules(ruleset, f"local-{BASE}") == [
        "meta l4proto tcp dnat ip addr . port to numgen random mod 1 map { 0 : 10.244.1.2 . 8080 }"
    ]
    assert rules(ruleset, f"service-{BASE}")[0].endswith(BOTH)
    assert elements(ruleset, "no-endpoint-services") == {}


def test_policy_local_without_a_detector_has_no_short_cut_for_pods() -> None:
    chain = rules(rendered(LOCAL, config=replace(CONFIG, detector=None)), f"external-{BASE}")
    assert [rule.split('"')[1] for rule in chain[:-1]] == ["masquerade local traffic", "short-circuit local traffic"]


def test_internal_policy_local_needs_no_chain_for_the_others() -> None:
    ruleset = rendered(web(internal_local=True))
    assert own(ruleset) == [f"local-{BASE}"]
    assert elements(ruleset, "service-ips") == {"10.96.0.10 . tcp . 80": f"goto local-{BASE}"}
    both = rendered(replace(LOCAL, internal_local=True))
    assert own(both) == [f"service-{BASE}", f"local-{BASE}", f"external-{BASE}"]


def test_internal_policy_local_without_a_local_endpoint_drops() -> None:
    ruleset = rendered(web(internal_local=True, endpoints=(THERE,)))
    assert elements(ruleset, "no-endpoint-services") == {"10.96.0.10 . tcp . 80": "drop"}
    assert elements(ruleset, "service-ips") == {}
    assert own(ruleset) == []


def test_a_range_that_holds_the_node_lets_every_load_balancer_address_in_too() -> None:
    ruleset = rendered(web(load_balancer_ips=VIPS, source_ranges=RANGES))
    sources = "198.51.100.0/24, 192.168.0.0/24, 203.0.113.11, 203.0.113.12"
    assert rules(ruleset, f"firewall-{BASE}") == [f"ip saddr != {{ {sources} }} drop"]
    assert elements(ruleset, "firewall-ips") == {f"{vip} . tcp . 80": f"goto firewall-{BASE}" for vip in VIPS}
    outside = rendered(web(load_balancer_ips=VIPS, source_ranges=RANGES[:1]))
    assert rules(outside, f"firewall-{BASE}") == ["ip saddr != { 198.51.100.0/24 } drop"]


def test_ranges_hold_without_endpoints_too() -> None:
    ruleset = rendered(web(load_balancer_ips=VIPS, source_ranges=RANGES, endpoints=()))
    assert own(ruleset) == [f"firewall-{BASE}"]
    assert len(elements(ruleset, "firewall-ips")) == 2
    assert elements(ruleset, "no-endpoint-services")["203.0.113.11 . tcp . 80"] == "goto reject-chain"


def test_ranges_without_a_load_balancer_and_a_load_balancer_without_ranges_need_no_firewall() -> None:
    for unit in (web(source_ranges=RANGES, node_port=30080), web(load_balancer_ips=VIPS)):
        ruleset = rendered(unit)
        assert elements(ruleset, "firewall-ips") == {}
        assert f"firewall-{BASE}" not in own(ruleset)


def test_affinity_remembers_each_endpoint_before_it_chooses_one() -> None:
    ruleset = rendered(web(affinity_seconds=90))
    assert own(ruleset) == [f"endpoint-{EP_HERE}", f"endpoint-{EP_THERE}", f"service-{BASE}"]
    assert rules(ruleset, f"service-{BASE}") == [
        f"ip saddr @affinity-{EP_HERE} goto endpoint-{EP_HERE}",
        f"ip saddr @affinity-{EP_THERE} goto endpoint-{EP_THERE}",
        f"numgen random mod 2 vmap {{ 0 : goto endpoint-{EP_HERE}, 1 : goto endpoint-{EP_THERE} }}",
    ]
    assert rules(ruleset, f"endpoint-{EP_HERE}") == [
        f"update @affinity-{EP_HERE} {{ ip saddr }}",
        "meta l4proto tcp dnat to 10.244.1.2:8080",
    ]
    sets = affinities(ruleset)
    assert [one.name for one in sets] == [f"affinity-{EP_HERE}", f"affinity-{EP_THERE}"]
    assert {(one.type, one.timeout_s, one.comment) for one in sets} == {("ipv4_addr", 90, "")}


def test_affinity_and_policy_local_choose_among_local_endpoints_only() -> None:
    ruleset = rendered(replace(LOCAL, affinity_seconds=90))
    assert rules(ruleset, f"local-{BASE}") == [
        f"ip saddr @affinity-{EP_HERE} goto endpoint-{EP_HERE}",
        f"numgen random mod 1 vmap {{ 0 : goto endpoint-{EP_HERE} }}",
    ]
    assert len(rules(ruleset, f"service-{BASE}")) == 3
    only = rendered(web(affinity_seconds=90, internal_local=True))
    assert [one.name for one in affinities(only)] == [f"affinity-{EP_HERE}"]


def test_without_affinity_an_endpoint_has_neither_chain_nor_set() -> None:
    assert affinities(rendered()) == []
    assert own(rendered()) == [f"service-{BASE}"]


def test_terminating_endpoints_serve_when_no_other_is_left() -> None:
    draining = tuple(replace(one, ready=False, terminating=True) for one in (HERE, THERE))
    assert rules(rendered(web(endpoints=draining)), f"service-{BASE}")[0].endswith(BOTH)
    mixed = rules(rendered(web(endpoints=(draining[0], THERE))), f"service-{BASE}")
    assert mixed[0].endswith("numgen random mod 1 map { 0 : 10.244.2.2 . 8080 }")


def test_an_endpoint_hinted_for_another_zone_is_nowhere() -> None:
    here, there = (replace(one, zone_hints=frozenset({zone})) for one, zone in ((HERE, "a"), (THERE, "b")))
    text = rendered(web(endpoints=(here, there)), config=replace(CONFIG, zone="a")).restore_text()
    assert "10.244.1.2" in text
    assert "10.244.2.2" not in text


@pytest.mark.parametrize("protocol", ["UDP", "SCTP"])
def test_every_rule_and_key_of_a_protocol_names_it(protocol: Protocol) -> None:
    word = protocol.lower()
    unit = replace(EVERYWHERE, protocol=protocol, affinity_seconds=90, source_ranges=RANGES)
    text = rendered(unit).restore_text()
    assert f"10.96.0.10 . {word} . 80 : goto service-" in text
    assert f"\t\t\t{word} . 30080 : goto external-" in text
    assert f"meta l4proto {word} dnat to 10.244.1.2:8080\n" in text
    assert f"10.244.1.2 . 10.244.1.2 . {word} . 8080\n" in text
    assert "tcp" not in text


def test_a_port_without_a_name_leaves_a_slash() -> None:
    ruleset = rendered(web(port_name="", endpoints=(), node_port=30080))
    assert {one.comment for name in ("services", "nodeports") for one in _elements(ruleset, name)} == {"default/web"}
    assert re.fullmatch(r"service-[A-Z2-7]{8}-default/web/tcp/", own(rendered(web(port_name="")))[0])


def _elements(ruleset: NftRuleset, name: str) -> tuple[Element, ...]:
    found = ruleset.set(f"no-endpoint-{name}")
    assert found is not None
    return found.elements


def test_no_chain_or_set_needs_iptables_extras() -> None:
    text = rendered(replace(LOCAL, health_check_node_port=32000)).restore_text()
    assert "32000" not in text  # nothing has to accept a health check
    assert "invalid" not in text.replace("invalid ports", "")


def test_a_changed_service_changes_nothing_of_another() -> None:
    before = rendered(web(name="a", affinity_seconds=9), web(name="b"))
    after = rendered(web(name="a", affinity_seconds=9), web(name="b", endpoints=(HERE,)))
    assert [old.name for old, new in zip(before.chains, after.chains, strict=True) if old != new] == own(
        after, "default/b"
    )
    assert before.sets == after.sets


ENDPOINTS = st.lists(
    st.builds(
        Endpoint,
        address=st.integers(2, 9).map(lambda number: ip_address(f"10.244.1.{number}")),
        port=st.sampled_from([80, 8080]),
        node=st.sampled_from(["node-1", "node-2"]),
        ready=st.booleans(),
        serving=st.booleans(),
        terminating=st.booleans(),
    ),
    max_size=4,
    unique_by=lambda one: (one.address, one.port),
)
UNITS = st.lists(
    st.builds(
        ServiceUnit,
        namespace=st.just("default"),
        name=st.sampled_from(["a", "b", "c"]),
        port_name=st.sampled_from(["", "http"]),
        protocol=st.sampled_from(["TCP", "UDP", "SCTP"]),
        cluster_ip=st.sampled_from([ip_address("10.96.0.10"), ip_address("10.96.0.11")]),
        port=st.sampled_from([80, 81]),
        node_port=st.sampled_from([0, 30080]),
        external_ips=st.sampled_from([(), VIPS]),
        load_balancer_ips=st.sampled_from([(), VIPS[:1], VIPS]),
        source_ranges=st.sampled_from([(), RANGES]),
        external_local=st.booleans(),
        internal_local=st.booleans(),
        affinity_seconds=st.sampled_from([0, 90]),
        endpoints=ENDPOINTS.map(tuple),
    ),
    max_size=4,
    unique_by=lambda unit: (unit.name, unit.port_name, unit.protocol),
)


@given(UNITS, st.booleans(), st.booleans())
def test_whatever_is_rendered_all_that_rules_name_is_there_once(
    units: list[ServiceUnit],
    limited: bool,
    detected: bool,
) -> None:
    config = CONFIG if limited else replace(CONFIG, node_port_networks=())
    ruleset = render(units, config if detected else replace(config, detector=None))
    text = ruleset.restore_text()
    chains, sets = [one.name for one in ruleset.chains], [one.name for one in ruleset.sets]
    assert len({*chains, *sets}) == len(chains) + len(sets)
    assert set(re.findall(r"(?:goto|jump) ([^ ,\n]+)", text)) <= set(chains)
    assert set(re.findall(r"@([^ /]\S*)(?! /)", re.sub(r'comment "[^"]*"', "", text))) <= set(sets)
    for one in ruleset.sets:
        assert len({element.key for element in one.elements}) == len(one.elements)
        assert all(bool(element.verdict) == (one.kind == "map") for element in one.elements)
