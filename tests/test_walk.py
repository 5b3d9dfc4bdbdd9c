"""The walk tells what the reference says: section 6's table in both modes, what is refused, what is unknown."""

from __future__ import annotations

from fractions import Fraction
from ipaddress import ip_address, ip_network
from itertools import product
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lab.errors import LabError
from lab.model import kubernetes as k8s
from lab.model.journey import Explanation, Packet, Vantage
from lab.model.lab import Mode, Release
from lab.model.netfilter import Table
from lab.model.proxy_config import DetectLocal, IPTablesConfig, KubeProxyConfiguration, NFTablesConfig
from lab.parse import saved_rules
from lab.parse.asked import packet_of
from lab.parse.cluster_files import ClusterFiles
from lab.proxy.explain import Asked, of_objects, of_rules
from lab.proxy.walk import explain

POD, NODE, ELSEWHERE = "10.244.1.77", "192.168.0.10", "198.51.100.9"
HERE, THERE = "10.244.1.2:8080", "10.244.2.2:8080"
ALL = {HERE, THERE}
MODES: tuple[Mode, ...] = ("iptables", "nftables")
CLUSTER_IP, EXTERNAL, VIP, NODE_PORT = "10.96.0.10:80", "203.0.113.7:80", "203.0.113.11:80", f"{NODE}:30080"
OUTSIDE = (EXTERNAL, VIP, NODE_PORT)


def a_node(number: int) -> k8s.Node:
    return k8s.Node(
        metadata=k8s.ObjectMeta(name=f"node-{number}"),
        spec=k8s.NodeSpec(pod_cidrs=(ip_network(f"10.244.{number}.0/24"),)),
        status=k8s.NodeStatus(addresses=(k8s.NodeAddress(type="InternalIP", address=f"192.168.0.{9 + number}"),)),
    )


BOTH = (("10.244.1.2", "node-1"), ("10.244.2.2", "node-2"))


def objects(endpoints: tuple[tuple[str, str], ...] = BOTH, **spec: Any) -> ClusterFiles:  # noqa: ANN401
    fields: dict[str, Any] = {
        "type": "LoadBalancer",
        "cluster_ip": "10.96.0.10",
        "external_ips": (ip_address("203.0.113.7"),),
        "ports": (k8s.ServicePort(name="http", port=80, node_port=30080),),
        **spec,
    }
    ingress = k8s.LoadBalancerStatus(ingress=(k8s.LoadBalancerIngress(ip=ip_address("203.0.113.11")),))
    service = k8s.Service(
        metadata=k8s.ObjectMeta(name="web"),
        spec=k8s.ServiceSpec(**fields),
        status=k8s.ServiceStatus(load_balancer=ingress),
    )
    one = k8s.EndpointSlice(
        address_type="IPv4",
        metadata=k8s.ObjectMeta(name="web-1", labels={"kubernetes.io/service-name": "web"}),
        endpoints=tuple(
            k8s.SliceEndpoint(addresses=(ip_address(address),), node_name=node) for address, node in endpoints
        ),
        ports=(k8s.EndpointPort(name="http", port=8080),),
    )
    return ClusterFiles(nodes=(a_node(1), a_node(2)), services=(service,), slices=(one,))


def settings(**fields: Any) -> KubeProxyConfiguration:  # noqa: ANN401
    return KubeProxyConfiguration(**{"hostname_override": "node-1", "cluster_cidr": "10.244.0.0/16", **fields})


def told(
    source: str,
    to: str,
    mode: Mode,
    found: ClusterFiles | None = None,
    protocol: str = "tcp",
    release: Release = "1.36",
    **fields: Any,  # noqa: ANN401
) -> Explanation:
    packet = packet_of(source, to, protocol)
    return of_objects(found or objects(), settings(**fields), packet, mode=mode, release=release)


def ends(found: Explanation) -> dict[str, Fraction]:
    """Return what may become of the packet: its endpoint, or `drop`, `reject`, `unknown`, with the share of each."""
    assert {journey.assumed for journey in found.journeys} == {()}
    (total,) = cases(found).values()
    return total


def cases(found: Explanation) -> dict[str, dict[str, Fraction]]:
    """Return what may become of the packet for each answer to what is not known."""
    totals: dict[str, dict[str, Fraction]] = {}
    for journey in found.journeys:
        fate = journey.fate
        name = f"{fate.destination}:{fate.port}" if fate.kind == "accept" else fate.kind
        total = totals.setdefault(" and ".join(one.text for one in journey.assumed), {})
        total[name] = total.get(name, Fraction(0)) + journey.share
    return totals


def masqueraded(found: Explanation) -> bool:
    """Return whether the source is changed; it is the same for every endpoint."""
    (one,) = {bool(journey.fate.masquerade) for journey in found.journeys}
    return one


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
    masked: bool,  # noqa: FBT001
    mode: Mode,
) -> None:
    found = told(source, to, mode, objects(external_traffic_policy=policy))
    assert ends(found) == {end: Fraction(1, len(endpoints)) for end in endpoints}
    assert masqueraded(found) is masked
    assert {journey.service for journey in found.journeys} == {"default/web:http"}


@pytest.mark.parametrize(
    ("source", "to", "policy", "endpoints", "masked"), [one for one in EFFECT if EXTERNAL not in one]
)
def test_the_net_effect_was_the_same_in_the_classic_shape(
    source: str,
    to: str,
    policy: str,
    endpoints: set[str],
    masked: bool,  # noqa: FBT001
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
    masked: bool,  # noqa: FBT001
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
    reasons = {f"{one.fate.destination}": one.fate.masquerade for one in found.journeys}
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
    assert end == THERE or "default/web" in found.journeys[0].service


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
def test_source_ranges_let_in_whom_they_name(source: str, passes: bool, mode: Mode) -> None:  # noqa: FBT001
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
    assert "block incoming localnet connections" in found.journeys[0].fate.place


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


# --- rules that kube-proxy does not write ----------------------------------------------------------------------------


def saved(*rules: str, table: str = "filter") -> tuple[Table, ...]:
    chains = sorted({rule.split()[1] for rule in rules} - {"FORWARD", "INPUT", "PREROUTING"})
    lines = [f"*{table}", *(f":{name} - [0:0]" for name in chains), *rules, "COMMIT", ""]
    return saved_rules.read("\n".join(lines), "saved.txt")[0]


def through(*rules: str, table: str = "filter", source: str = ELSEWHERE, **options: Any) -> Explanation:  # noqa: ANN401
    return of_rules(saved(*rules, table=table), packet_of(source, CLUSTER_IP, "tcp"), Asked(**options))


SET = "-m set --match-set bad src"


def test_both_answers_to_an_unknown_match_are_followed_and_named() -> None:
    found = through(f"-A FORWARD {SET} -j DROP", "-A FORWARD -j ACCEPT")
    assert cases(found) == {f"`{SET}` holds": {"drop": 1}, f"`{SET}` fails": {CLUSTER_IP: 1}}


def test_an_unknown_match_is_harmless_where_nothing_becomes_of_it() -> None:
    found = through(f"-A FORWARD {SET} -j LOG --log-prefix x", f"-A FORWARD {SET}", "-A FORWARD -j DROP")
    assert ends(found) == {"drop": 1}
    assert [step.matched for step in found.journeys[0].steps if step.rule] == [None, None, True]


def test_answers_that_come_to_the_same_are_one_way_and_said_to_be_so() -> None:
    found = through(f"-A FORWARD {SET} -j EARLY", "-A FORWARD -j ACCEPT", "-A EARLY -s 10.0.0.0/8 -j DROP")
    assert ends(found) == {CLUSTER_IP: 1}
    assert any(SET in note and "makes no difference" in note for note in found.notes)


def test_an_unknown_match_is_asked_once_of_a_set_and_each_time_of_a_limit() -> None:
    rules = ("-A FORWARD {} -j MARK --set-xmark 0x1/0x1", "-A FORWARD {} -j DROP")
    of_set = through(*(rule.format(SET) for rule in rules))
    assert cases(of_set) == {f"`{SET}` holds": {"drop": 1}, f"`{SET}` fails": {CLUSTER_IP: 1}}
    limit = "-m limit --limit 3/min"
    limited = through(*(rule.format(limit) for rule in rules), "-A FORWARD -m mark --mark 0x1/0x1 -j REJECT")
    assert sorted(end for case in cases(limited).values() for end in case) == [CLUSTER_IP, "drop", "reject"]


def test_what_a_translated_packet_is_asked_is_another_question() -> None:
    text = f"""*nat
-A PREROUTING -p tcp {SET} -j DNAT --to-destination 10.0.0.1:1
-A POSTROUTING {SET} -j MASQUERADE
COMMIT
"""
    found = of_rules(saved_rules.read(text, "a")[0], packet_of(ELSEWHERE, CLUSTER_IP, "tcp"))
    translated = [one for one in found.journeys if one.fate.dnat]
    assert {bool(one.fate.masquerade) for one in translated} == {True, False}


QUESTIONS = [f"-m set --match-set s{number} src" for number in range(3)]
RULES = st.lists(
    st.tuples(
        st.sampled_from(["PREROUTING", "FORWARD", "FORWARD", "A", "B"]),
        st.sampled_from([*QUESTIONS, *QUESTIONS, "", "-m mark --mark 0x1/0x1", "-m mark ! --mark 0x2/0x2"]),
        st.sampled_from(
            [
                *("-j DROP", "-j ACCEPT", "-j REJECT", "-j RETURN", "-j A", "-g B", "-j LOG", ""),
                *("-j MARK --set-xmark 0x1/0x1", "-j MARK --set-xmark 0x3/0x0"),
                "-m statistic --mode random --probability 0.25000000000 -j DROP",
            ]
        ),
    ).filter(lambda rule: len(rule[0]) > 1 or rule[2] not in {"-j A", "-g B"}),
    min_size=2,
    max_size=9,
)


@example(
    [
        ("PREROUTING", QUESTIONS[0], "-j MARK --set-xmark 0x1/0x1"),
        ("FORWARD", "-m mark --mark 0x1/0x1", "-j DROP"),
        ("FORWARD", QUESTIONS[1], "-j A"),
        ("A", QUESTIONS[0], "-j REJECT"),
    ]
)
@given(RULES)
def test_whatever_the_answers_are_the_ways_that_fit_them_say_what_becomes_of_the_packet(
    rules: list[tuple[str, str, str]],
) -> None:
    lines = [f"-A {chain} {asked} {deed}" for chain, asked, deed in (*rules, ("A", "", ""), ("B", "", ""))]
    found = through(*lines, table="mangle")
    for answers in product((True, False), repeat=len(QUESTIONS)):
        known = "\n".join(lines)
        for question, holds in zip(QUESTIONS, answers, strict=True):
            known = known.replace(question, f"{'' if holds else '!'} -d 10.96.0.10/32")
        said = {f"`{one}` {'holds' if holds else 'fails'}" for one, holds in zip(QUESTIONS, answers, strict=True)}
        fitting = [one for one in found.journeys if {each.text for each in one.assumed} <= said]
        total: dict[str, Fraction] = {}
        for one in fitting:
            total[one.fate.kind] = total.get(one.fate.kind, Fraction(0)) + one.share
        assert total == {
            end.replace(CLUSTER_IP, "accept"): share
            for end, share in ends(through(*known.split("\n"), table="mangle")).items()
        }


def test_more_open_questions_than_can_be_followed_are_unknown_and_the_walk_ends() -> None:
    rules = [f"-A FORWARD -m limit --limit {number}/min -j MARK --set-xmark {1 << number}/0" for number in range(1, 31)]
    found = through(*rules)
    assert "too many open questions" in next(one.fate.detail for one in found.journeys if one.fate.kind == "unknown")
    assert len(found.journeys) < 1000


def test_a_shadow_of_doubt_stays_on_masquerading_alone() -> None:
    text = f"""*nat
-A PREROUTING -d 10.96.0.10/32 -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.244.1.2:8080
-A POSTROUTING {SET} -m set ! --match-set pods dst -j MASQUERADE --random-fully
COMMIT
"""
    found = of_rules(saved_rules.read(text, "a")[0], packet_of(ELSEWHERE, CLUSTER_IP, "tcp"))
    assert {end for case in cases(found).values() for end in case} == {HERE}
    assert [bool(one.fate.masquerade) for one in found.journeys] == [True, False, False]


def test_whether_a_pods_packet_shows_its_bridges_port_depends_on_br_netfilter() -> None:
    found = told(POD, EXTERNAL, "iptables", release="classic")
    assert {case.split(" (")[0] for case in cases(found)} == {
        "it came in by a port of a bridge",
        "it came in by no port of a bridge",
    }


def test_who_comes_in_by_one_interface_does_not_come_in_by_another() -> None:
    found = through("-A FORWARD -i eth0 -j MARK --set-xmark 0x1/0x1", "-A FORWARD -i eth1 -m mark --mark 0x1 -j DROP")
    assert ends(found) == {CLUSTER_IP: 1}
    assert any("--interface would tell" in note for note in through("-A FORWARD -i eth0 -j DROP").notes)


def test_the_way_out_is_asked_apart_from_the_way_in() -> None:
    rules = ("-A FORWARD -i cni0 -o eth0 -j DROP",)
    assert ends(through(*rules, interface="cni0", out_interface="eth0")) == {"drop": 1}
    assert set(cases(through(*rules, interface="cni0"))) == {"it leaves by eth0", "it leaves by another one than eth0"}
    assert ends(through(*rules, interface="eth0")) == {CLUSTER_IP: 1}


def test_an_unknown_match_does_not_matter_where_a_known_one_fails() -> None:
    assert ends(through("-A FORWARD -d 10.0.0.1/32 -m set --match-set bad src -j DROP")) == {CLUSTER_IP: 1}


NAT = """*mangle
-A PREROUTING -i eth0 -j CONNMARK --set-xmark 0x80/0x80
-A PREROUTING -j CONNMARK --restore-mark --nfmask 0xf0 --ctmask 0xff
COMMIT
*nat
-A POSTROUTING -m connmark --mark 0x80/0x80 -m mark --mark 0x80/0xf0 -j SNAT --to-source 192.0.2.1 --random-fully
COMMIT
"""


def test_the_mark_of_the_connection_is_kept_and_restored_and_snat_names_its_address() -> None:
    tables, _ = saved_rules.read(NAT, "a")
    found = of_rules(tables, packet_of(ELSEWHERE, CLUSTER_IP, "tcp"), Asked(interface="eth0"))
    assert [str(one.fate.source) for one in found.journeys] == ["192.0.2.1"]
    other = of_rules(tables, packet_of(ELSEWHERE, CLUSTER_IP, "tcp"), Asked(interface="eth1"))
    assert [one.fate.masquerade for one in other.journeys] == [""]


@pytest.mark.parametrize(
    ("rule", "end"),
    [
        ("-p tcp -m multiport --dports 22,80:90", "drop"),
        ("-p tcp -m multiport ! --dports 22,80:90", CLUSTER_IP),
        ("-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN", "drop"),
        ("-p tcp -m tcp --tcp-flags ALL NONE", CLUSTER_IP),
        ("-m iprange --src-range 198.51.100.1-198.51.100.20", "drop"),
        ("-m addrtype --dst-type MULTICAST", CLUSTER_IP),
        ("-m addrtype --dst-type UNICAST", "drop"),
        ("-m connmark --mark 0x1/0x1", CLUSTER_IP),
        ("-m recent --update --seconds 30 --hitcount 6 --name A --rsource", CLUSTER_IP),
        ("-m conntrack --ctstate DNAT", CLUSTER_IP),
        ("-s 198.51.100.9/255.255.255.255", "drop"),
        ("-i lo", CLUSTER_IP),
    ],
)
def test_what_is_common_beside_kube_proxy_is_known(rule: str, end: str) -> None:
    assert ends(through(f"-A FORWARD {rule} -j DROP")) == {end: 1}


CT_MAP = """table inet fw {
	chain forward {
		type filter hook forward priority filter; policy accept;
		ct state vmap { established : accept, related : accept, invalid : drop, new : jump fresh }
	}
	chain fresh {
		tcp flags & (fin | syn) == syn counter
		tcp flags syn / syn,ack reject with tcp reset
		tcp flags rst drop
		icmp type echo-request accept
		log prefix "new " limit rate 5/second accept
		drop
	}
}
"""


def test_a_map_of_states_and_a_limit_are_walked_in_nft() -> None:
    found = of_rules(saved_rules.read(CT_MAP, "a")[0], packet_of(ELSEWHERE, CLUSTER_IP, "udp"))
    assert ends(of_rules(saved_rules.read(CT_MAP, "a")[0], packet_of(ELSEWHERE, CLUSTER_IP, "tcp"))) == {"reject": 1}
    assert cases(found) == {"`limit rate 5/second` holds": {CLUSTER_IP: 1}, "`limit rate 5/second` fails": {"drop": 1}}


@pytest.mark.parametrize(
    "deed", ["notrack", "queue to 1", "redirect to :8080", "meta mark set ip dscp", "tproxy to :1"]
)
def test_an_unknown_deed_is_never_taken_for_a_question(deed: str) -> None:
    nft = f"table ip t {{\n\tchain c {{\n\t\ttype filter hook forward priority 0;\n\t\t{deed}\n\t}}\n}}\n"
    assert ends(of_rules(saved_rules.read(nft, "a")[0], packet_of(ELSEWHERE, CLUSTER_IP, "tcp"))) == {"unknown": 1}


@pytest.mark.parametrize("test", ["ip daddr < 10.97.0.0", "tcp dport >= 80", "ip daddr @nowhere", "tcp dport http"])
def test_a_comparison_that_is_not_known_is_followed_both_ways(test: str) -> None:
    nft = f"table ip t {{\n\tchain c {{\n\t\ttype filter hook forward priority 0;\n\t\t{test} drop\n\t}}\n}}\n"
    found = of_rules(saved_rules.read(nft, "a")[0], packet_of(ELSEWHERE, CLUSTER_IP, "tcp"))
    assert sorted(end for case in cases(found).values() for end in case) == [CLUSTER_IP, "drop"]


HOOKS_OF: list[tuple[str, str, str, tuple[str, ...]]] = [
    ("raw", "PREROUTING", ELSEWHERE, ()),
    ("mangle", "INPUT", ELSEWHERE, ("10.96.0.10",)),
    ("filter", "FORWARD", ELSEWHERE, ()),
    ("filter", "OUTPUT", NODE, (NODE,)),
    ("mangle", "POSTROUTING", ELSEWHERE, ()),
    ("nat", "INPUT", ELSEWHERE, ("10.96.0.10",)),
]


@pytest.mark.parametrize(("table", "hook", "source", "local"), HOOKS_OF, ids=str)
def test_what_is_unknown_is_named_in_every_hook(table: str, hook: str, source: str, local: tuple[str, ...]) -> None:
    asked, done = f"-A {hook} {SET} -j DROP", f"-A {hook} -j SOMETHING --new"
    found = through(asked, table=table, source=source, local=local)
    assert cases(found) == {f"`{SET}` holds": {"drop": 1}, f"`{SET}` fails": {CLUSTER_IP: 1}}
    (journey,) = through(done, table=table, source=source, local=local).journeys
    assert (journey.fate.kind, journey.fate.detail) == ("unknown", "unknown: `-j SOMETHING --new`")


def test_an_unknown_target_is_unknown() -> None:
    found = through("-A FORWARD -j TPROXY --on-port 1")
    assert "`-j TPROXY --on-port 1`" in found.journeys[0].fate.detail


def test_only_a_part_of_the_packets_meets_what_comes_after_a_chance() -> None:
    found = through(
        "-A FORWARD -m statistic --mode random --probability 0.25000000000 -j WHAT",
        "-A FORWARD -j DROP",
        "-A WHAT -m time --weekdays Mon -j ACCEPT",
    )
    doubt = "`-m time --weekdays Mon`"
    assert cases(found) == {
        f"{doubt} holds": {CLUSTER_IP: Fraction(1, 4)},
        f"{doubt} fails": {"drop": Fraction(1, 4)},
        "": {"drop": Fraction(3, 4)},
    }


def test_an_interface_that_is_not_known_is_unknown_until_it_is_said() -> None:
    rule = "-A FORWARD -i eth7 -j DROP"
    assert cases(through(rule)) == {
        "it comes in by eth7": {"drop": 1},
        "it comes in by another one than eth7": {CLUSTER_IP: 1},
    }
    assert ends(through(rule, interface="eth7")) == {"drop": 1}
    assert ends(through(rule, interface="eth0")) == {CLUSTER_IP: 1}


def test_a_source_port_is_unknown_until_it_is_said() -> None:
    rules = saved("-A FORWARD -p tcp -m tcp --sport 1024:65535 -j DROP")
    open_question = of_rules(rules, packet_of(ELSEWHERE, CLUSTER_IP, "tcp"))
    assert list(cases(open_question).values()) == [{"drop": 1}, {CLUSTER_IP: 1}]
    assert any("--from ADDRESS:PORT would tell" in note for note in open_question.notes)
    assert ends(of_rules(rules, packet_of(f"{ELSEWHERE}:5000", CLUSTER_IP, "tcp"))) == {"drop": 1}


def test_return_and_goto_come_back_where_iptables_comes_back() -> None:
    found = through(
        "-A FORWARD -j FIRST",
        "-A FORWARD -j REJECT",
        "-A FIRST -g SECOND",
        "-A FIRST -j DROP",  # goto does not come back here
        "-A SECOND -s 198.51.100.0/24 -j RETURN",
        "-A SECOND -j DROP",
    )
    assert ends(found) == {"reject": 1}


def test_a_policy_decides_when_no_rule_does() -> None:
    text = "*filter\n:FORWARD DROP [0:0]\nCOMMIT\n"
    tables, _ = saved_rules.read(text, "saved.txt")
    found = explain(
        tables, Packet(source=ip_address(POD), destination=ip_address("10.0.0.1"), destination_port=1), Vantage()
    )
    assert found.journeys[0].fate.place == "the policy of FORWARD"


def test_chains_in_a_circle_are_refused_and_not_walked_for_ever() -> None:
    with pytest.raises(LabError, match=r"saved.txt:\d+: the chains lead in a circle"):
        through("-A FORWARD -j A", "-A A -g B", "-A B -g A")


def test_the_first_of_several_translations_counts() -> None:
    text = """*nat
-A PREROUTING -p tcp -j DNAT --to-destination 10.0.0.1:1
-A PREROUTING -p tcp -j DNAT --to-destination 10.0.0.2:2
COMMIT
"""
    nft = """table ip other {
	chain pre {
		type nat hook prerouting priority -90; policy accept;
		dnat to 10.0.0.3:3
	}
}
"""
    tables = (*saved_rules.read(text, "a")[0], *saved_rules.read(nft, "b")[0])
    assert ends(of_rules(tables, packet_of(ELSEWHERE, CLUSTER_IP, "tcp"))) == {"10.0.0.1:1": 1}


def test_a_drop_in_any_table_is_final_and_an_accept_only_in_its_own() -> None:
    nft = """table inet early {
	chain c {
		type filter hook forward priority filter - 5; policy accept;
		accept
	}
}
table inet late {
	chain c {
		type filter hook forward priority 7; policy accept;
		drop
	}
}
"""
    found = of_rules(saved_rules.read(nft, "b")[0], packet_of(ELSEWHERE, CLUSTER_IP, "tcp"))
    assert ends(found) == {"drop": 1}


def test_rules_of_the_other_family_are_refused() -> None:
    with pytest.raises(LabError, match="not for ipv6"):
        of_rules(saved("-A FORWARD -d 10.0.0.1/32 -j DROP"), packet_of("fd00::1", "[fd00::2]:80", "tcp"))


@pytest.mark.parametrize(
    ("source", "to", "protocol", "words"),
    [
        ("10.0.0.300", CLUSTER_IP, "tcp", "--from"),
        (POD, "10.96.0.10", "tcp", "the port is missing"),
        (POD, "10.96.0.10:x", "tcp", "--to"),
        (POD, "10.96.0.10:70000", "tcp", "--to"),
        (POD, "[fd00::1]:80", "tcp", "one family"),
        (POD, CLUSTER_IP, "icmp", "--protocol"),
    ],
)
def test_a_packet_that_cannot_be_is_refused(source: str, to: str, protocol: str, words: str) -> None:
    with pytest.raises(LabError, match=words):
        packet_of(source, to, protocol)


# --- what only the order of things shows -----------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_the_mark_is_gone_when_the_packet_leaves(mode: Mode) -> None:
    found = told(NODE, CLUSTER_IP, mode)
    assert {journey.steps[-1].after.mark for journey in found.journeys} == {0}
    assert any(step.after.mark == 0x4000 for step in found.journeys[0].steps)


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
    assert [step.hook for step in found.journeys[0].steps][-1] == "INPUT"
