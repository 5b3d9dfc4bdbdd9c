"""The rules of Kubernetes 1.20, as its sources and kubelet's wrote them."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest

from lab import catalogue, topology
from lab.errors import TopologyError
from lab.model.ruleset import Ruleset
from lab.proxy.changed import large
from lab.proxy.classic import render
from lab.proxy.config import ProxyConfig
from lab.proxy.iptables import LARGE_CLUSTER
from lab.proxy.node import node_rules, node_sysctls
from tests.rendered_iptables import COMMENT, HASH, SEP_HERE, SEP_THERE, chains_of, rules
from tests.units import CONFIG, HERE, THERE, VIPS, WEB

LOCAL = "-m addrtype --src-type LOCAL"
HALF = "-m statistic --mode random --probability 0.50000000000"
REJECT = "-j REJECT --reject-with icmp-port-unreachable"
VIP = VIPS[0]


def rendered(config: ProxyConfig = CONFIG, **changes: Any) -> Ruleset:
    return render([replace(WEB, **changes)], config)


def test_what_shall_be_dropped_is_marked_and_dropped_on_input_and_output_alone() -> None:
    ruleset = rendered()
    assert rules(ruleset, "nat", "KUBE-MARK-DROP") == ["-j MARK --set-xmark 0x8000/0x8000"]
    about = '-m comment --comment "kubernetes firewall for dropping marked packets"'
    assert rules(ruleset, "filter", "KUBE-FIREWALL") == [
        f"{about} -m mark --mark 0x8000/0x8000 -j DROP",
        (
            '! -s 127.0.0.0/8 -d 127.0.0.0/8 -m comment --comment "block incoming localnet connections"'
            " -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP"
        ),
    ]
    jumps = {
        chain.name: chain.rules[-1] for place, chain in ruleset.chains() if chain.built_in and place[0] == "filter"
    }
    assert {name for name, last in jumps.items() if last == "-j KUBE-FIREWALL"} == {"INPUT", "OUTPUT"}
    ipv6 = replace(CONFIG, family="ipv6", detector=None)
    assert len(rules(render([], ipv6), "filter", "KUBE-FIREWALL")) == 1  # route_localnet is IPv4's


def test_forwarding_and_masquerading_are_those_of_1_20() -> None:
    ruleset = rendered()
    established = "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
    assert rules(ruleset, "filter", "KUBE-FORWARD") == [
        "-m conntrack --ctstate INVALID -j DROP",
        '-m comment --comment "kubernetes forwarding rules" -m mark --mark 0x4000/0x4000 -j ACCEPT',
        f'-m comment --comment "kubernetes forwarding conntrack pod source rule" {established}',
        f'-m comment --comment "kubernetes forwarding conntrack pod destination rule" {established}',
    ]
    assert rules(ruleset, "nat", "KUBE-POSTROUTING") == [
        "-m mark ! --mark 0x4000/0x4000 -j RETURN",
        "-j MARK --set-xmark 0x4000/0x0",
        '-m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE --random-fully',
    ]
    assert rules(ruleset, "nat", "KUBE-MARK-MASQ") == ["-j MARK --set-xmark 0x4000/0x4000"]
    assert not ruleset.counters


def test_a_cluster_ip_is_marked_in_the_shared_chain() -> None:
    ruleset = rendered()
    match = f'-d 10.96.0.10/32 -p tcp {COMMENT} cluster IP" -m tcp --dport 80'
    assert rules(ruleset, "nat", "KUBE-SERVICES") == [
        f"! -s 10.244.0.0/16 {match} -j KUBE-MARK-MASQ",
        f"{match} -j KUBE-SVC-{HASH}",
        (
            '-m comment --comment "kubernetes service nodeports; NOTE: this must be the last rule in this chain"'
            " -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS"
        ),
    ]
    assert rules(ruleset, "nat", f"KUBE-SVC-{HASH}") == [
        f'{COMMENT}" {HALF} -j {SEP_HERE}',
        f'{COMMENT}" -j {SEP_THERE}',
    ]
    assert rules(ruleset, "nat", SEP_HERE) == [
        f'-s 10.244.1.2/32 {COMMENT}" -j KUBE-MARK-MASQ',
        f'-p tcp {COMMENT}" -m tcp -j DNAT --to-destination 10.244.1.2:8080',
    ]


def test_a_node_port_is_marked_unless_it_keeps_to_its_node() -> None:
    match = f'-p tcp {COMMENT}" -m tcp --dport 30080'
    assert rules(rendered(node_port=30080), "nat", "KUBE-NODEPORTS") == [
        f"{match} -j KUBE-MARK-MASQ",
        f"{match} -j KUBE-SVC-{HASH}",
    ]
    assert rules(rendered(node_port=30080, external_local=True), "nat", "KUBE-NODEPORTS") == [
        f"-s 127.0.0.0/8 {match} -j KUBE-MARK-MASQ",
        f"{match} -j KUBE-XLB-{HASH}",
    ]


def test_an_external_ip_is_for_what_comes_from_afar_and_for_the_nodes_own_addresses() -> None:
    match = f'-d 203.0.113.11/32 -p tcp {COMMENT} external IP" -m tcp --dport 80'
    afar = "-m physdev ! --physdev-is-in -m addrtype ! --src-type LOCAL"
    here = "-m addrtype --dst-type LOCAL"
    services = rules(rendered(external_ips=(VIP,)), "nat", "KUBE-SERVICES")
    assert services[2:5] == [
        f"{match} -j KUBE-MARK-MASQ",
        f"{match} {afar} -j KUBE-SVC-{HASH}",
        f"{match} {here} -j KUBE-SVC-{HASH}",
    ]
    services = rules(rendered(external_ips=(VIP,), external_local=True), "nat", "KUBE-SERVICES")
    assert services[2:4] == [f"{match} {afar} -j KUBE-XLB-{HASH}", f"{match} {here} -j KUBE-XLB-{HASH}"]


@pytest.mark.parametrize(
    ("ranges", "inner"),
    [
        ((), ["-j KUBE-SVC"]),
        (("198.51.100.0/24",), ["-s 198.51.100.0/24 -j KUBE-SVC"]),
        (("192.168.0.0/16",), ["-s 192.168.0.0/16 -j KUBE-SVC", "-s 203.0.113.11/32 -j KUBE-SVC"]),
    ],
)
def test_every_load_balancer_address_has_its_firewall(ranges: tuple[str, ...], inner: list[str]) -> None:
    ruleset = rendered(load_balancer_ips=(VIP,), source_ranges=tuple(map(ip_network, ranges)))
    match = f'-d 203.0.113.11/32 -p tcp {COMMENT} loadbalancer IP" -m tcp --dport 80'
    assert rules(ruleset, "nat", "KUBE-SERVICES")[2] == f"{match} -j KUBE-FW-{HASH}"
    about = f'{COMMENT} loadbalancer IP" '
    assert [rule.replace(about, "") for rule in rules(ruleset, "nat", f"KUBE-FW-{HASH}")] == [
        "-j KUBE-MARK-MASQ",
        *[f"{rule}-{HASH}" for rule in inner],
        "-j KUBE-MARK-DROP",
    ]


SHORT_CUTS = [
    (
        '-s 10.244.0.0/16 -m comment --comment "Redirect pods trying to reach external loadbalancer VIP to clusterIP"'
        f" -j KUBE-SVC-{HASH}"
    ),
    f'-m comment --comment "masquerade LOCAL traffic for default/web:http LB IP" {LOCAL} -j KUBE-MARK-MASQ',
    (
        '-m comment --comment "route LOCAL traffic for default/web:http LB IP to service chain"'
        f" {LOCAL} -j KUBE-SVC-{HASH}"
    ),
]


def test_policy_local_is_kube_xlb() -> None:
    second = replace(HERE, address=ip_address("10.244.1.3"))
    ruleset = rendered(load_balancer_ips=(VIP,), external_local=True, endpoints=(HERE, THERE, second))
    *short_cuts, first, last = rules(ruleset, "nat", f"KUBE-XLB-{HASH}")
    assert short_cuts == SHORT_CUTS
    balancing = '-m comment --comment "Balancing rule'
    assert first == f'{balancing} 0 for default/web:http" {HALF} -j {SEP_HERE}'
    assert last.startswith(f'{balancing} 1 for default/web:http" -j KUBE-SEP-')
    assert rules(ruleset, "nat", f"KUBE-FW-{HASH}")[0] == f'{COMMENT} loadbalancer IP" -j KUBE-XLB-{HASH}'


def test_without_a_local_endpoint_kube_xlb_marks_for_dropping() -> None:
    ruleset = rendered(node_port=30080, external_local=True, endpoints=(THERE,))
    chain = rules(ruleset, "nat", f"KUBE-XLB-{HASH}")
    assert chain == [*SHORT_CUTS, f'{COMMENT} has no local endpoints" -j KUBE-MARK-DROP']
    chain = rules(
        rendered(replace(CONFIG, detector=None), node_port=30080, external_local=True), "nat", f"KUBE-XLB-{HASH}"
    )
    assert chain[:2] == SHORT_CUTS[1:]  # nobody can tell who is a pod


def test_affinity_asks_before_it_throws_the_dice() -> None:
    ruleset = rendered(node_port=30080, external_local=True, affinity_seconds=90)
    known = f"--name {SEP_HERE} --mask 255.255.255.255 --rsource"
    check = f'{COMMENT}" -m recent --rcheck --seconds 90 --reap {known} -j {SEP_HERE}'
    assert rules(ruleset, "nat", f"KUBE-SVC-{HASH}")[0] == check
    assert rules(ruleset, "nat", f"KUBE-XLB-{HASH}")[3] == check
    assert rules(ruleset, "nat", SEP_HERE)[1] == (
        f'-p tcp {COMMENT}" -m recent --set {known} -m tcp -j DNAT --to-destination 10.244.1.2:8080'
    )


def test_without_endpoints_everything_is_refused() -> None:
    ruleset = rendered(node_port=30080, load_balancer_ips=(VIP,), external_ips=(VIP,), endpoints=())
    none = f'-p tcp {COMMENT} has no endpoints"'
    assert rules(ruleset, "filter", "KUBE-SERVICES") == [f"-d 10.96.0.10/32 {none} -m tcp --dport 80 {REJECT}"]
    assert rules(ruleset, "filter", "KUBE-EXTERNAL-SERVICES") == [
        *[f"-d 203.0.113.11/32 {none} -m tcp --dport 80 {REJECT}"] * 2,
        f"{none} -m addrtype --dst-type LOCAL -m tcp --dport 30080 {REJECT}",
    ]
    assert not chains_of(ruleset)


def test_an_address_counts_once_and_this_nodes_before_others() -> None:
    away, again = replace(HERE, node="node-2"), replace(HERE, port=9090)
    ruleset = rendered(node_port=30080, external_local=True, endpoints=(away, again, THERE))
    last = [chain.rules[-1].rsplit(" ", 1)[1] for chain in chains_of(ruleset)]
    assert last == [SEP_THERE, "KUBE-SEP-SCAED2JUNAPY7G7G", "10.244.1.2:9090", "10.244.2.2:8080"]


def test_zone_hints_are_not_known() -> None:
    hinted = replace(THERE, zone_hints=frozenset({"elsewhere"}))
    here = replace(HERE, zone_hints=frozenset({"here"}))
    ruleset = rendered(replace(CONFIG, zone="here"), endpoints=(here, hinted))
    assert len(rules(ruleset, "nat", f"KUBE-SVC-{HASH}")) == 2


def test_many_endpoints_cost_the_comments() -> None:
    ruleset = rendered(node_port=30080, external_local=True, endpoints=(HERE, THERE, *[THERE] * LARGE_CLUSTER))
    assert rules(ruleset, "nat", f"KUBE-SVC-{HASH}") == [f"{HALF} -j {SEP_HERE}", f"-j {SEP_THERE}"]
    assert rules(ruleset, "nat", SEP_HERE)[0] == "-s 10.244.1.2/32 -j KUBE-MARK-MASQ"
    assert "Balancing rule 0" in rules(ruleset, "nat", f"KUBE-XLB-{HASH}")[-1]


LAB = """
apiVersion: hairpin/v1alpha1
kind: Lab
metadata: {name: a}
spec: {release: classic}
"""
MANY = """
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, labels: {kubernetes.io/service-name: web}}
ports: [{name: "", port: 8080}]
addressType: IPv4
endpoints:
- {addresses: [192.0.2.1], conditions: {ready: false}}
"""


@pytest.mark.parametrize(("count", "comments"), [(LARGE_CLUSTER, True), (LARGE_CLUSTER + 1, False)])
def test_what_is_not_ready_does_not_make_a_cluster_large(count: int, *, comments: bool) -> None:
    """Seen with kube-proxy 1.20.2: 1000 ready endpoints keep their comments beside one that is not, 1001 lose them."""
    ready = "".join(f"- {{addresses: [198.51.{n // 200}.{1 + n % 200}]}}\n" for n in range(count))
    cluster = topology.read(f"{LAB}{MANY}{ready}", "a").cluster
    ruleset, _ = node_rules(cluster, "node-1")
    assert isinstance(ruleset, Ruleset)
    assert ("comment" in rules(ruleset, "nat", "KUBE-SVC-LOLE4ISW44XBNF3G")[0]) == comments
    assert large(cluster)["ipv4"] != comments  # what a change is rendered with


def test_node_ports_can_be_limited_to_addresses() -> None:
    own = (ip_address("127.0.0.1"), ip_address("192.168.0.10"))
    config = replace(CONFIG, node_port_networks=(ip_network("192.168.0.0/16"),), node_port_addresses=own)
    tail = rules(rendered(config), "nat", "KUBE-SERVICES")[-2:]
    assert [rule.split()[1] for rule in tail] == ["127.0.0.1/32", "192.168.0.10/32"]


def test_one_bit_cannot_mean_both() -> None:
    with pytest.raises(TopologyError, match="KUBE-MARK-DROP"):
        rendered(replace(CONFIG, masquerade_mark=0x8000))


def test_the_classic_release_lets_loopback_be_routed_whatever_the_configuration_says() -> None:
    config = "---\napiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n"
    cluster = topology.read(f"{LAB}{config}iptables: {{localhostNodePorts: false}}\n", "a").cluster
    assert ("net.ipv4.conf.all.route_localnet", "1") in node_sysctls(cluster, "node-1")


def test_the_classic_release_has_no_nftables_mode(tmp_path: Path) -> None:
    config = "---\napiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmode: nftables\n"
    with pytest.raises(TopologyError, match=r"a:5:17: spec.release: the classic release has no nftables mode"):
        topology.read(LAB + config, "a")
    file = tmp_path / "lab.yaml"
    file.write_text(LAB)
    with pytest.raises(TopologyError, match="no nftables mode"):
        catalogue.choose(str(file), mode="nftables")
    with pytest.raises(TopologyError, match="no nftables mode"):
        catalogue.choose("octopus", mode="nftables", release="classic")
    with pytest.raises(TopologyError, match=r"--release '1\.19': expected 1\.36 or classic"):
        catalogue.choose("octopus", release="1.19")


@pytest.mark.parametrize("release", ["1.36", "classic"])
def test_octopus_has_the_chains_of_the_published_example(release: str) -> None:
    cluster = catalogue.choose("octopus", release=release).cluster
    ruleset, _ = node_rules(cluster, "node-1")
    assert isinstance(ruleset, Ruleset)
    own = chains_of(ruleset, "octopus/octopus-web")
    assert [chain.name for chain in own] == [
        "KUBE-SVC-A5DEC2RXT22GYINZ",
        "KUBE-SEP-F73MGWMXW3QO5EYA",
        "KUBE-SEP-F6GCOKQ4JCB6DUYR",
    ]
    first, second = own[0].rules[-2:]
    assert first.endswith(f"{HALF} -j KUBE-SEP-F73MGWMXW3QO5EYA")
    assert second.endswith('" -j KUBE-SEP-F6GCOKQ4JCB6DUYR')
    assert [chain.rules[1].split()[-1] for chain in own[1:]] == ["10.179.18.29:8080", "10.179.18.8:8080"]
    marking = own[0].rules[0] if release == "1.36" else rules(ruleset, "nat", "KUBE-SERVICES")[0]
    assert marking == (
        "! -s 10.179.0.0/16 -d 172.20.0.115/32 -p tcp -m comment --comment"
        ' "octopus/octopus-web:web cluster IP" -m tcp --dport 80 -j KUBE-MARK-MASQ'
    )
