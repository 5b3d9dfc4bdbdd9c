"""The walk through rules that kube-proxy does not write: what is known of them is said, and nothing else."""

from __future__ import annotations

from fractions import Fraction
from ipaddress import ip_address

import pytest

from lab.errors import LabError
from lab.model.walk import Packet, Vantage
from lab.parse import saved_rules
from lab.parse.asked import packet_of
from lab.proxy.explain import Asked, of_rules
from lab.proxy.walk import explain
from tests.walking import CLUSTER_IP, ELSEWHERE, EXTERNAL, NODE, POD, SET, cases, ends, saved, through, told


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
    assert [str(one.fate.source) for one in found.ways] == ["192.0.2.1"]
    other = of_rules(tables, packet_of(ELSEWHERE, CLUSTER_IP, "tcp"), Asked(interface="eth1"))
    assert [one.fate.masquerade for one in other.ways] == [""]


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
    (way,) = through(done, table=table, source=source, local=local).ways
    assert (way.fate.kind, way.fate.detail) == ("unknown", "unknown: `-j SOMETHING --new`")


def test_an_unknown_target_is_unknown() -> None:
    found = through("-A FORWARD -j TPROXY --on-port 1")
    assert "`-j TPROXY --on-port 1`" in found.ways[0].fate.detail


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
    assert found.ways[0].fate.place == "the policy of FORWARD"


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
