"""iptables mode beyond the golden cases: what each feature, and features together, make of the rules."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from lab.model.ruleset import Ruleset
from lab.proxy.iptables import LARGE_CLUSTER
from tests.rendered_iptables import COMMENT, HASH, SEP_HERE, SEP_THERE, chains_of, rendered, rules
from tests.units import CONFIG, HERE, RANGES, THERE, VIPS, web


def test_a_range_that_holds_the_node_lets_every_load_balancer_address_in_too() -> None:
    ruleset = rendered(web(load_balancer_ips=VIPS, source_ranges=RANGES))
    accept = f'{COMMENT} loadbalancer IP" -j KUBE-EXT-{HASH}'
    assert rules(ruleset, "nat", f"KUBE-FW-{HASH}") == [
        f"-s 198.51.100.0/24 {accept}",
        f"-s 192.168.0.0/24 {accept}",
        f"-s 203.0.113.11/32 {accept}",
        f"-s 203.0.113.12/32 {accept}",
        '-m comment --comment "other traffic to default/web:http will be dropped by KUBE-PROXY-FIREWALL"',
    ]
    for number, vip in enumerate(VIPS):
        match = f"-d {vip}/32 -p tcp {COMMENT}"
        assert (
            rules(ruleset, "nat", "KUBE-SERVICES")[1 + number]
            == f'{match} loadbalancer IP" -m tcp --dport 80 -j KUBE-FW-{HASH}'
        )
        dropped = f'{match} traffic not accepted by KUBE-FW-{HASH}" -m tcp --dport 80 -j DROP'
        assert rules(ruleset, "filter", "KUBE-PROXY-FIREWALL")[number] == dropped


def test_ranges_without_a_load_balancer_and_a_load_balancer_without_ranges_need_no_firewall() -> None:
    for unit in (web(source_ranges=RANGES, node_port=30080), web(load_balancer_ips=VIPS)):
        ruleset = rendered(unit)
        assert ruleset.chain("nat", f"KUBE-FW-{HASH}") is None
        assert rules(ruleset, "filter", "KUBE-PROXY-FIREWALL") == []


def test_ranges_without_endpoints_refuse_everybody() -> None:
    ruleset = rendered(web(load_balancer_ips=VIPS, source_ranges=RANGES, endpoints=()))
    assert not chains_of(ruleset)
    assert rules(ruleset, "filter", "KUBE-PROXY-FIREWALL") == []
    reject = '" -m tcp --dport 80 -j REJECT --reject-with icmp-port-unreachable'
    assert rules(ruleset, "filter", "KUBE-EXTERNAL-SERVICES") == [
        f"-d {vip}/32 -p tcp {COMMENT} has no endpoints{reject}" for vip in VIPS
    ]
    assert rules(ruleset, "filter", "KUBE-SERVICES") == [f"-d 10.96.0.10/32 -p tcp {COMMENT} has no endpoints{reject}"]


EVERYWHERE = web(
    node_port=30080,
    external_ips=(ip_address("198.51.100.7"),),
    load_balancer_ips=VIPS[:1],
    external_local=True,
    health_check_node_port=32000,
)


def test_policy_local_without_a_local_endpoint_drops_outsiders_and_serves_pods_and_the_node() -> None:
    ruleset = rendered(replace(EVERYWHERE, endpoints=(THERE,)))
    about = "traffic for default/web:http external destinations"
    assert rules(ruleset, "nat", f"KUBE-EXT-{HASH}") == [
        f'-s 10.244.0.0/16 -m comment --comment "pod {about}" -j KUBE-SVC-{HASH}',
        f'-m comment --comment "masquerade LOCAL {about}" -m addrtype --src-type LOCAL -j KUBE-MARK-MASQ',
        f'-m comment --comment "route LOCAL {about}" -m addrtype --src-type LOCAL -j KUBE-SVC-{HASH}',
    ]  # and no jump to a KUBE-SVL chain that is not there
    assert ruleset.chain("nat", f"KUBE-SVL-{HASH}") is None
    none = f'-p tcp {COMMENT} has no local endpoints"'
    assert rules(ruleset, "filter", "KUBE-EXTERNAL-SERVICES") == [
        f"-d 198.51.100.7/32 {none} -m tcp --dport 80 -j DROP",
        f"-d 203.0.113.11/32 {none} -m tcp --dport 80 -j DROP",
        f"{none} -m addrtype --dst-type LOCAL -m tcp --dport 30080 -j DROP",
    ]
    services = rules(ruleset, "nat", "KUBE-SERVICES")
    assert [rule.split(" -j ")[1] for rule in services] == [
        f"KUBE-SVC-{HASH}",
        *[f"KUBE-EXT-{HASH}"] * 2,
        "KUBE-NODEPORTS",
    ]


def test_policy_local_with_a_local_endpoint_ends_there() -> None:
    ruleset = rendered(EVERYWHERE)
    assert rules(ruleset, "nat", f"KUBE-EXT-{HASH}")[-1] == f"-j KUBE-SVL-{HASH}"
    assert rules(ruleset, "nat", f"KUBE-SVL-{HASH}") == [f'{COMMENT} -> 10.244.1.2:8080" -j {SEP_HERE}']
    assert rules(ruleset, "filter", "KUBE-EXTERNAL-SERVICES") == []


def test_policy_local_without_a_detector_has_no_short_cut_for_pods() -> None:
    chain = rules(rendered(EVERYWHERE, config=replace(CONFIG, detector=None)), "nat", f"KUBE-EXT-{HASH}")
    assert not any("pod traffic" in rule for rule in chain)
    assert len(chain) == 3


def test_a_health_check_is_accepted_with_or_without_endpoints() -> None:
    for unit in (EVERYWHERE, replace(EVERYWHERE, endpoints=())):
        assert rules(rendered(unit), "filter", "KUBE-NODEPORTS") == [
            f'-p tcp {COMMENT} health check node port" -m tcp --dport 32000 -j ACCEPT'
        ]


def test_both_policies_local_share_a_chain_that_marks_cluster_ip_traffic() -> None:
    ruleset = rendered(replace(EVERYWHERE, internal_local=True))
    mark, serve = rules(ruleset, "nat", f"KUBE-SVL-{HASH}")
    assert mark.startswith("! -s 10.244.0.0/16 -d 10.96.0.10/32")
    assert serve.endswith(f"-j {SEP_HERE}")
    assert len(rules(ruleset, "nat", f"KUBE-SVC-{HASH}")) == 2  # for pods and the node; nothing to mark here
    assert f"-j KUBE-SVL-{HASH}" in rules(ruleset, "nat", "KUBE-SERVICES")[0]


def test_internal_policy_local_without_a_local_endpoint_drops() -> None:
    ruleset = rendered(web(internal_local=True, endpoints=(THERE,)))
    none = f'-d 10.96.0.10/32 -p tcp {COMMENT} has no local endpoints" -m tcp --dport 80 -j DROP'
    assert rules(ruleset, "filter", "KUBE-SERVICES") == [none]
    assert not chains_of(ruleset)


def test_affinity_remembers_each_endpoint_before_it_chooses_one() -> None:
    draining = tuple(replace(one, ready=False, terminating=True) for one in (HERE, THERE))
    ruleset = rendered(web(affinity_seconds=90, endpoints=draining))
    chain = rules(ruleset, "nat", f"KUBE-SVC-{HASH}")[1:]
    recent = "-m recent --rcheck --seconds 90 --reap --name {0} --mask 255.255.255.255 --rsource -j {0}"
    here, there = f'{COMMENT} -> 10.244.1.2:8080" ', f'{COMMENT} -> 10.244.2.2:8080" '
    assert chain == [
        here + recent.format(SEP_HERE),
        there + recent.format(SEP_THERE),
        f"{here}-m statistic --mode random --probability 0.50000000000 -j {SEP_HERE}",
        f"{there}-j {SEP_THERE}",
    ]
    remember = f"-m recent --set --name {SEP_HERE} --mask 255.255.255.255 --rsource"
    assert rules(ruleset, "nat", SEP_HERE)[1] == (
        f'-p tcp {COMMENT}" {remember} -m tcp -j DNAT --to-destination 10.244.1.2:8080'
    )


def test_a_hidden_endpoint_has_no_chain() -> None:
    ready = replace(HERE, zone_hints=frozenset({"zone-a"}))
    elsewhere = replace(THERE, zone_hints=frozenset({"zone-b"}))
    ruleset = rendered(web(endpoints=(ready, elsewhere)), config=replace(CONFIG, zone="zone-a"))
    assert [chain.name for chain in chains_of(ruleset)] == [f"KUBE-SVC-{HASH}", SEP_HERE]


@pytest.mark.parametrize("protocol", ["UDP", "SCTP"])
def test_every_rule_of_a_protocol_names_it(protocol: str) -> None:
    ruleset = rendered(web(protocol=protocol, node_port=30080))
    word = protocol.lower()
    for name in ("KUBE-SERVICES", "KUBE-NODEPORTS"):
        assert f"-p {word} " in rules(ruleset, "nat", name)[0]
        assert f" -m {word} --dport " in rules(ruleset, "nat", name)[0]
    assert "tcp" not in "".join(rule for chain in chains_of(ruleset) for rule in chain.rules)


def test_a_port_without_a_name_is_called_by_its_service() -> None:
    ruleset = rendered(web(namespace="ns1", name="svc1", port_name=""))
    first = rules(ruleset, "nat", "KUBE-SERVICES")[0]
    assert '--comment "ns1/svc1 cluster IP"' in first
    assert first.endswith("-j KUBE-SVC-AQI2S6QIMU7PVVRP")


def test_probabilities_are_those_that_iptables_save_prints() -> None:
    endpoints = tuple(replace(HERE, address=ip_address(f"10.244.1.{n}")) for n in range(1, 8))
    chain = rules(rendered(web(endpoints=endpoints)), "nat", f"KUBE-SVC-{HASH}")[1:]
    assert [rule.split("--probability ")[1].split()[0] for rule in chain[:-1]] == [
        "0.14285714272",
        "0.16666666651",
        "0.20000000019",
        "0.25000000000",
        "0.33333333349",
        "0.50000000000",
    ]
    assert "statistic" not in chain[-1]


def test_a_chance_has_ten_decimals_before_the_kernel_rounds_it() -> None:
    endpoints = tuple(replace(HERE, address=ip_address(f"10.244.1.{n}")) for n in range(1, 45))
    chain = rules(rendered(web(endpoints=endpoints)), "nat", f"KUBE-SVC-{HASH}")[1:]
    assert "--probability 0.02272727247 " in chain[0]  # 0.02272727294 without


def test_above_a_thousand_endpoints_repeating_rules_lose_their_comments() -> None:
    def many(count: int) -> Ruleset:
        spare = replace(HERE, ready=False, serving=False)  # endpoints of any condition count
        other = web(name="other", endpoints=(spare,) * (count - 2))
        return rendered(web(affinity_seconds=90), other)

    names = (f"KUBE-SVC-{HASH}", SEP_HERE, SEP_THERE)
    below, above = (
        [rule for name in names for rule in rules(many(LARGE_CLUSTER + extra), "nat", name)] for extra in (0, 1)
    )
    assert all("--comment" in rule for rule in below)
    assert ["--comment" in rule for rule in above] == [True] + [False] * 8  # the ClusterIP's mark keeps it
    assert above[-1] == (
        f"-p tcp -m recent --set --name {SEP_THERE} --mask 255.255.255.255 --rsource -m tcp"
        " -j DNAT --to-destination 10.244.2.2:8080"
    )


def test_rules_follow_the_order_of_the_service_ports() -> None:
    ruleset = rendered(web(name="a", node_port=30001), web(name="b", node_port=30002))
    assert [rule.split('"')[1] for rule in rules(ruleset, "nat", "KUBE-SERVICES")[:2]] == [
        "default/a:http cluster IP",
        "default/b:http cluster IP",
    ]


def test_a_changed_service_changes_no_chain_of_another() -> None:
    before = rendered(web(name="a"), web(name="b"))
    after = rendered(web(name="a"), web(name="b", endpoints=(HERE,)))
    changed = {place for place, chain in after.chains() if before.chain(*place) != chain}
    assert changed == {("nat", chain.name) for chain in chains_of(after, "default/b") if "SVC" in chain.name}
