"""Real packets go where the walk says: for every golden case, in both modes, from everywhere to everything.

A node between two namespaces: one holds all pods' addresses, the other one all the rest of the world. What became of a
new connection is read from the node's conntrack: an entry says where it was sent and as whom; without an entry it was
refused (its sender has an error) or dropped.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from lab.kernel import rules
from lab.model.address import Family
from lab.model.proxy_config import DetectLocal, IPTablesConfig, NFTablesConfig
from lab.model.walk import Packet
from lab.parse import saved_rules
from lab.parse.cluster_files import load
from lab.proxy.explain import vantage_of
from lab.proxy.walk import explain
from tests.kernel.walked import CASES, TOOLS, Case, Inside, case_of, compare


def family_cases() -> Iterator[tuple[Path, Family]]:
    for case in sorted(CASES.iterdir()):
        yield case, "ipv4"
        if "fd00:c0a8::10" in (case / "objects.yaml").read_text():
            yield case, "ipv6"


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize(
    ("case", "family"), [pytest.param(case, family, id=f"{case.name}-{family}") for case, family in family_cases()]
)
def test_packets_go_where_the_walk_says(inside: Inside, case: Path, family: Family, tool: rules.Tool) -> None:
    compare(inside, case_of(case, family, TOOLS[tool], counters=inside(rules.nfacct_available)), family, tool)


CONFIGS: dict[str, dict[str, Any]] = {
    "bridge": {"detect_local_mode": "BridgeInterface", "detect_local": DetectLocal(bridge_interface="cbr0")},
    "prefix": {
        "detect_local_mode": "InterfaceNamePrefix",
        "detect_local": DetectLocal(interface_name_prefix="cbr"),
    },
    "node-cidr": {"detect_local_mode": "NodeCIDR"},
    "none": {"cluster_cidr": ""},
    "bit-31": {
        "iptables": IPTablesConfig(masquerade_bit=31, localhost_node_ports=False),
        "nftables": NFTablesConfig(masquerade_bit=31, masquerade_all=True),
    },
    "addresses": {"node_port_addresses": ("192.168.0.0/24", "127.0.0.0/8")},
}


@pytest.mark.parametrize("tool", ["iptables-nft", "nft"])
@pytest.mark.parametrize("config", CONFIGS)
def test_packets_go_where_the_walk_says_in_every_configuration(inside: Inside, config: str, tool: rules.Tool) -> None:
    folder = CASES / "external-traffic-policy-local"
    counters = inside(rules.nfacct_available)
    compare(inside, case_of(folder, "ipv4", TOOLS[tool], counters=counters, **CONFIGS[config]), "ipv4", tool)


# Where the shape of 1.20 differs: KUBE-XLB, KUBE-MARK-DROP, two rules where today's chains have one.
CLASSIC = (
    "external-ips",
    "external-traffic-policy-local",
    "loadbalancer-source-ranges",
    "masquerade-all",
    "no-endpoints",
)


@pytest.mark.parametrize("case", CLASSIC)
def test_packets_go_where_the_walk_says_in_the_classic_shape(inside: Inside, case: str) -> None:
    tool: rules.Tool = "iptables-legacy" if case == "external-ips" else "iptables-nft"
    made = case_of(CASES / case, "ipv4", "iptables", counters=False, release="classic")
    compare(inside, made, "ipv4", tool)


OTHERS: dict[rules.Tool, str] = {
    "iptables-nft": """\
*mangle
:OTHER - [0:0]
-A PREROUTING -p tcp -m multiport --dports 1001,1003:1005 -j CONNMARK --set-xmark 0x80/0x80
-A PREROUTING -m connmark --mark 0x80/0x80 -j CONNMARK --restore-mark --nfmask 0xf0 --ctmask 0xff
-A FORWARD -p tcp -m tcp --dport 1002 -g OTHER
-A OTHER -m comment --comment "it's \\"odd\\" -j ACCEPT" -j DROP
COMMIT
*filter
-A FORWARD -m mark --mark 0x80/0xf0 -j DROP
-A FORWARD -p tcp -m iprange --src-range 198.51.100.0-198.51.100.9 -m tcp --dport 1010 -j REJECT
-A FORWARD -p tcp -m tcp --dport 1011 --tcp-flags FIN,SYN,RST,ACK SYN -j DROP
-A FORWARD -p tcp -m tcp --dport 1012 --tcp-flags ALL ACK -j DROP
-A FORWARD -p tcp -m tcp --dport 1013 -m addrtype --dst-type UNICAST -j DROP
-A FORWARD -p tcp -m tcp --dport 1014 -m addrtype --dst-type LOCAL,MULTICAST -j DROP
-A FORWARD -p tcp -m tcp --dport 1015 -m recent --update --seconds 30 --hitcount 2 --name A --rsource -j DROP
-A FORWARD -p tcp -m conntrack --ctstate DNAT -j REJECT
-A FORWARD -p tcp -m tcp --dport 1016 -s 198.51.100.7/255.0.255.255 -j DROP
-A INPUT -i lo -p tcp -m tcp --dport 1041 -m addrtype --src-type LOCAL -j REJECT
-A OUTPUT -o lo -p tcp -m multiport --dports 1042,1043 -j REJECT
COMMIT
*nat
-A PREROUTING -p tcp -m tcp --dport 1020 -j DNAT --to-destination 10.244.1.2:8080
-A POSTROUTING -p tcp -m tcp --dport 1030 -j SNAT --to-source 192.168.0.10
COMMIT
""",
    "nft": """\
table inet others {
	set blocked {
		type ipv4_addr . inet_proto . inet_service
		flags interval
		elements = { 203.0.113.0/24 . tcp . 1001-1005, 203.0.113.9 . tcp . 1020 }
	}
	chain early {
		type filter hook prerouting priority mangle; policy accept;
		tcp dport { 1010, 1011 } ct mark set 0x00000010
		tcp dport 1011 meta mark set ct mark | 0x00000001
		tcp dport 1012 ct mark set meta mark ^ 0x00000003
		iifname "lo" tcp dport 1040 reject
	}
	chain forward {
		type filter hook forward priority 10; policy accept;
		ip daddr . meta l4proto . th dport @blocked drop
		ct state vmap { established : accept, invalid : drop, new : jump fresh }
		tcp dport 1030 drop
	}
	chain input {
		type filter hook input priority filter; policy accept;
		fib saddr type local tcp dport 1041 reject
	}
	chain output {
		type filter hook output priority filter; policy accept;
		ip daddr 127.0.0.0/8 drop
		oifname "lo" tcp dport { 1042, 1043 } reject
	}
	chain fresh {
		meta mark & 0x00000001 == 0x00000001 reject
		ct mark 0x00000010 drop
		ct mark 0x00000003 reject
		tcp dport 1013 tcp flags syn / fin,syn,rst,ack drop
		tcp dport 1014 tcp flags rst drop
		icmp type echo-request drop
		ip saddr != { 198.51.100.0/26, 10.244.0.0-10.244.255.255 } tcp dport 1015 drop
		tcp dport vmap { 1016-1018 : drop, 1019 : return, 1030 : accept }
	}
	chain out {
		type nat hook postrouting priority srcnat; policy accept;
		meta nfproto ipv6 drop
		ip protocol tcp tcp dport 1031 snat ip to 192.168.0.10
	}
}
""",
}


@pytest.mark.parametrize("tool", OTHERS)
def test_packets_go_where_the_walk_says_through_other_peoples_rules(inside: Inside, tool: rules.Tool) -> None:
    """What is known beside kube-proxy's own rules: as CNIs, firewalls and administrators write them."""
    objects = load([str(CASES / "clusterip" / name) for name in ("objects.yaml", "proxy.yaml")])
    vantage = vantage_of(objects, objects.settings[0], "node-1")
    tables, _ = saved_rules.read(OTHERS[tool], "others")
    packets = [
        Packet(source=ip_address(source), destination=ip_address("203.0.113.9"), destination_port=port)
        for source in ("198.51.100.7", "8.8.8.8", "10.244.1.99")
        for port in (999, *range(1001, 1006), *range(1010, 1022), 1030, 1031)
    ]
    node = ip_address("192.168.0.10")
    packets += [Packet(source=node, destination=node, destination_port=port) for port in range(1039, 1044)]
    found = tuple(explain(tables, one, vantage) for one in packets)
    compare(inside, Case(OTHERS[tool], (), tuple(one for one in found if not one.ways[0].assumed)), "ipv4", tool)


def test_ipv6_is_tried_too() -> None:
    assert {family for _, family in family_cases()} == {"ipv4", "ipv6"}
