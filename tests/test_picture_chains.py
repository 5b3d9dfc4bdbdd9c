"""A Service's chains as a picture: every chain and endpoint, its chance and its count, in each mode."""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction
from ipaddress import IPv4Address
from typing import get_args
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab import catalogue, graph
from lab.errors import TopologyError
from lab.model.cluster import Cluster, cluster_ips, full_name
from lab.model.installed import Installed, Line
from lab.model.lab import Mode
from lab.parse import iptables_save
from lab.picture import chains
from lab.picture.chains import Forest
from lab.picture.chains.letters import said
from lab.picture.chains.scene import Card, Row
from lab.proxy import installed
from lab.report.table import Look
from tests import pictures
from tests.test_picture_topology import HOSTILE, NAMES, words

MODES: tuple[Mode, ...] = get_args(Mode)
# What lab.graph --topology clusterip --service web says: the tree that people draw on whiteboards.
WHITEBOARD = """\
svc/web on node-1, IPv4, rendered, not installed
nat PREROUTING
└─ KUBE-SERVICES
   └─ 10.96.0.10:80/tcp
      └─ KUBE-SVC-CDGGSHYLG3RE2FKL
         ├─ not from 10.244.0.0/16, 10.96.0.10:80/tcp: mark 0x4000
         ├─ chance 1/2
         │  └─ KUBE-SEP-UIQK3OSOSTRHRPBX
         │     ├─ from 10.244.1.2: mark 0x4000
         │     └─ DNAT to 10.244.1.2:8080 web-1
         └─ the rest: 1/2
            └─ KUBE-SEP-4EX2N4PG4ASNZOBF
               ├─ from 10.244.2.2: mark 0x4000
               └─ DNAT to 10.244.2.2:8080 web-2
nat OUTPUT
└─ KUBE-SERVICES (above)
marks, of all Services
KUBE-MARK-MASQ
└─ mark 0x4000
KUBE-POSTROUTING
├─ not marked 0x4000: return
├─ flip mark 0x4000
└─ masquerade"""
IN_NFTABLES = """\
svc/web on node-1, IPv4, rendered, not installed
kube-proxy nat-prerouting
└─ services
   └─ vmap @service-ips
      └─ 10.96.0.10 . tcp . 80
         └─ service-SUSTUHLJ-default/web/tcp/http
            └─ dnat ip to numgen random mod 2 map
               ├─ chance 1/2: DNAT to 10.244.1.2:8080 web-1
               └─ chance 1/2: DNAT to 10.244.2.2:8080 web-2
kube-proxy nat-output
└─ services (above)
marks, of all Services
services
└─ not from 10.244.0.0/16, in @cluster-ips: mark 0x4000
masquerading
├─ marked 0x4000: flip mark 0x4000, masquerade
└─ ct status dnat, in @hairpin-connections: masquerade"""


def cluster(name: str, mode: str = "") -> Cluster:
    return catalogue.choose(name, mode=mode).cluster


def rows(forests: tuple[Forest, ...], chain: str) -> list[Row]:
    return [row for one in forests for card in one.cards if card.name.startswith(chain) for row in card.rows]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", sorted(set(NAMES) - {"large"}))
def test_the_chains_of_every_service_are_legible(name: str, mode: Mode) -> None:
    whole = cluster(name, mode)
    for service in whole.services:
        if not any(cluster_ips(service)):
            continue
        found = graph.chains(whole, full_name(service))
        assert pictures.faults(chains.svg(found)) == []
        assert pictures.mermaid_faults(chains.mermaid(found)) == []
        text = chains.text(found, Look(width=80, unicode=False))
        assert max(map(len, text.splitlines())) <= 80
        assert "KUBE-SEP" in text or "DNAT to" in text or "reject" in text or "drop" in text


@pytest.mark.parametrize(("mode", "tree"), [("iptables", WHITEBOARD), ("nftables", IN_NFTABLES)])
def test_the_tree_is_that_of_a_whiteboard(mode: Mode, tree: str) -> None:
    assert chains.text(graph.chains(cluster("clusterip", mode), "web")) == tree


def test_each_node_has_its_own_chains() -> None:
    whole = cluster("traffic-policy-local")
    service = full_name(whole.services[0])
    first, second = (chains.text(graph.chains(whole, service, node=node)) for node in ("node-1", "node-2"))
    assert "on node-1" in first.splitlines()[0]
    assert "on node-2" in second.splitlines()[0]
    assert first.replace("node-1", "") != second.replace("node-2", "")


def test_both_families_of_a_service_are_drawn() -> None:
    assert [one.family for one in graph.chains(cluster("dual-stack"), "web")] == ["ipv4", "ipv6"]
    assert [one.family for one in graph.chains(cluster("dual-stack"), "six")] == ["ipv6"]


def test_a_service_without_rules_is_told_why() -> None:
    with pytest.raises(TopologyError, match="no rules: Service db is headless"):
        graph.chains(cluster("headless"), "db")


# --- counts and chances ----------------------------------------------------------------------------------------------

SAVED = """*nat
:PREROUTING ACCEPT [0:0]
:KUBE-SERVICES - [0:0]
:KUBE-SVC-AAAAAAAAAAAAAAAA - [0:0]
:KUBE-MARK-MASQ - [0:0]
[7:420] -A PREROUTING -j KUBE-SERVICES
[6:360] -A KUBE-SERVICES -d 10.96.0.10/32 -p tcp -m tcp --dport 80 -j KUBE-SVC-AAAAAAAAAAAAAAAA
[1:60] -A KUBE-SVC-AAAAAAAAAAAAAAAA ! -s 10.244.0.0/16 -j KUBE-MARK-MASQ
[1:60] -A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
"""


def saved(endpoints: int) -> Installed:
    """Return what is read of a Service with so many endpoints, of which the n-th was chosen n times."""
    lines = []
    for at in range(endpoints):
        last = at == endpoints - 1
        chance = "" if last else f"-m statistic --mode random --probability {1 / (endpoints - at):.11f} "
        lines.append(f"[{at}:{at * 60}] -A KUBE-SVC-AAAAAAAAAAAAAAAA {chance}-j KUBE-SEP-{at:016}")
        lines.append(f"[{at}:{at * 60}] -A KUBE-SEP-{at:016} -p tcp -j DNAT --to-destination 10.244.1.{at}:8080")
    heads = [f":KUBE-SEP-{at:016} - [0:0]" for at in range(endpoints)]
    text = "\n".join([*SAVED.splitlines()[:5], *heads, *SAVED.splitlines()[5:], *lines, "COMMIT", ""])
    names = frozenset({"KUBE-SVC-AAAAAAAAAAAAAAAA", *(f"KUBE-SEP-{at:016}" for at in range(endpoints))})
    found = installed.lines(iptables_save.read(text, "test")[0], installed.Wanted(names, frozenset()))
    return Installed(node="node-1", family="ipv4", tool="iptables-nft", lines=found)


def forests(endpoints: int) -> tuple[Forest, ...]:
    return chains.forests("svc/web", [saved(endpoints)], [], {IPv4Address("10.244.1.1"): "web-2"})


def test_each_row_has_its_count_and_each_endpoint_its_share_of_all() -> None:
    found = forests(4)
    chosen = [row for row in rows(found, "KUBE-SVC") if row.leads]
    assert [row.asks for row in chosen] == [
        "chance 1/4", "chance 1/3 of the rest: 1/4", "chance 1/2 of the rest: 1/4", "the rest: 1/4",
    ]  # fmt: skip
    assert [row.packets for row in chosen] == [0, 1, 2, 3]
    assert all(row.share and abs(row.share - Fraction(1, 4)) < Fraction(1, 10**9) for row in chosen)
    (mark,) = [row for row in rows(found, "KUBE-SVC") if row.deed == "mark"]
    assert (mark.does, mark.packets, mark.leads) == ("mark 0x4000", 1, ())
    assert [row.does for row in rows(found, "KUBE-SEP")][:2] == [
        "DNAT to 10.244.1.0:8080",
        "DNAT to 10.244.1.1:8080 web-2",
    ]
    picture = chains.svg(found)
    assert pictures.faults(picture) == []
    assert {"7", "6", "3", "packets that the rules counted"} <= {
        part for one in words(picture) for part in one.split(" · ")
    }
    assert re.search(r"^ +3 +└─ the rest: 1/4$", chains.text(found).replace("│", " "), re.MULTILINE)
    assert 'x_tree_0_1 ==>|"10.96.0.10:80/tcp · 6 packets"| x_tree_0_2' in chains.mermaid(found)


@pytest.mark.parametrize("name", ["clusterip", "ipv6"])
def test_what_the_rule_for_other_sources_asks_is_drawn_whole_beside_its_count(name: str) -> None:
    found = graph.chains(cluster(name, "iptables"), "web")
    counted = tuple(
        replace(one, cards=tuple(replace(card, rows=tuple(_counted(row) for row in card.rows)) for card in one.cards))
        for one in found
    )
    (asked,) = [said(row) for row in rows(counted, "KUBE-SVC") if row.deed == "mark"]
    assert asked.startswith("not from ")
    assert asked in words(chains.svg(counted))


def _counted(row: Row) -> Row:
    return replace(row, packets=1_234_567, octets=74_074_020)


def test_lines_that_nothing_came_by_are_told_apart() -> None:
    kinds = re.findall(r'class="(way-\w+(?: thick)?)"', chains.svg(forests(2)))
    assert kinds.count("way-green thick") == 3
    assert kinds.count("way-muted") == 1


def test_a_page_lights_a_chain_with_the_whole_way_to_it_and_on() -> None:
    root = ET.fromstring(chains.svg(forests(2)))
    cards = {
        one.attrib["data-key"]: set(one.attrib["data-of"].split()) for one in root.iter() if "data-key" in one.attrib
    }
    hook, services, service, first, second = sorted(cards)
    assert cards[first] == {hook, services, service, first}
    assert cards[services] == {*cards}
    lines = [set(one.attrib["data-of"].split()) for one in root.iter() if {*one.attrib} == {"data-of"}]
    assert sorted(map(len, lines)) == [4, 4, 5, 5]
    assert [second in line for line in lines].count(False) == 1


def test_many_endpoints_are_counted_together() -> None:
    found = forests(50)
    chosen = [row for row in rows(found, "KUBE-SVC") if row.deed != "mark"]
    assert (len(chosen), chosen[-1].asks) == (9, "and 42 more endpoints: 21/25")
    assert sum(row.packets or 0 for row in chosen) == sum(range(50))
    assert len([card for one in found for card in one.cards if "SEP" in card.name]) == 8
    assert pictures.faults(chains.svg(found)) == []


@given(HOSTILE)
def test_no_rule_becomes_anything_else_than_text(text: str) -> None:
    row = Row(asks=text, does=text, deed="end", text=text, packets=1, octets=60, leads=("b",))
    cards = (
        Card(key="a", table=text, name=text, rows=(row, row), hook=True),
        Card(key="b", table="", name=text, rows=(row,)),
    )
    cards = (cards[0], replace(cards[1], rows=(replace(row, leads=()),)))
    forest = Forest(service=text, node=text, family="ipv4", tool=text, cards=cards, marks=(cards[1],))
    assert pictures.faults(chains.svg([forest])) == []
    assert pictures.mermaid_faults(chains.mermaid([forest])) == []
    assert chains.page([forest]).count("<script>") == 1
    assert all(line.isprintable() for line in chains.text([forest]).split("\n"))


@given(st.permutations(["a", "b", "c"]))
def test_a_listing_in_any_order_gives_the_same_lines(order: list[str]) -> None:
    """A chain that is listed before the one that leads to it is drawn behind it all the same."""
    found = [Line("chain", 0 if name == "a" else 1, "nat", name) for name in order]
    found += [
        Line(
            "rule",
            1,
            "nat",
            start,
            f"-j {end}",
            leads=(end,),
            rule=iptables_save.read(f"*nat\n:{start} - [0:0]\n:{end} - [0:0]\n-A {start} -j {end}\nCOMMIT\n", "x")[0][0]
            .chains[start]
            .rules[0],
        )
        for start, end in (("a", "b"), ("b", "c"))
    ]
    (forest,) = chains.forests("svc/x", [Installed(node="n", family="ipv4", tool="t", lines=tuple(found))], [], {})
    assert {card.name for card in forest.cards} == {"a", "b", "c"}
    assert pictures.faults(chains.svg([forest])) == []
