"""What is watched, without a lab: events put together for each packet, and told in lines and in JSON.

`python -m tests.test_watch` writes the goldens.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from lab.journey.hits import Packets, hits
from lab.journey.rules import Book
from lab.model.flow import Flow
from lab.model.packet import Packet
from lab.model.trace import Event, Listing
from lab.model.watch import FlowChange, Hit, Loss, RuleHits, Seen
from lab.report import watch as report
from lab.report.table import Look
from tests.journeys import NAMES, SEP_2, SVC, way

WIDE = Look(width=1000)
BEGAN_NS = 1_795_437_124_912_442_000
ASKS = "10.244.1.3:40212 10.96.0.10:80"
FLOW = Flow(
    node="node-1",
    protocol="tcp",
    original=way(ASKS),
    reply=way("10.244.2.2:8080 10.244.1.3:40212"),
    id=77,
    status=frozenset({"confirmed"}),
    tcp_state="SYN_SENT",
)
SAVED = """\
*nat
:PREROUTING ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:KUBE-MARK-MASQ - [0:0]
:KUBE-POSTROUTING - [0:0]
:KUBE-SEP-A - [0:0]
:KUBE-SERVICES - [0:0]
:KUBE-SVC-W - [0:0]
-A PREROUTING -j KUBE-SERVICES
-A POSTROUTING -j KUBE-POSTROUTING
-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0
-A KUBE-POSTROUTING -j MASQUERADE --random-fully
-A KUBE-SEP-A -p tcp -m comment --comment "default/web:http" -m tcp -j DNAT --to-destination 10.244.2.2:8080
-A KUBE-SERVICES -d 10.96.0.10/32 -p tcp -m comment --comment "default/web:http cluster IP" -j KUBE-SVC-W
-A KUBE-SVC-W -s 10.244.0.0/16 -m comment --comment "default/web:http" -j KUBE-MARK-MASQ
-A KUBE-SVC-W -m comment --comment "default/web:http -> 10.244.2.2:8080" -j KUBE-SEP-A
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:KUBE-FORWARD - [0:0]
-A INPUT -d 10.96.0.10/32 -p tcp -m comment --comment "default/web:http has no endpoints" -j REJECT
-A FORWARD -j KUBE-FORWARD
-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
COMMIT
"""
BOOK = Book((Listing(netns="node-1", tool="iptables-legacy", family="ipv4", text=SAVED),))
WAY = (
    ("nat", "PREROUTING", 1, 0),
    ("nat", "KUBE-SERVICES", 1, 0),
    ("nat", "KUBE-SVC-W", 1, 0),
    ("nat", "KUBE-MARK-MASQ", 1, 0),
    ("nat", "KUBE-SVC-W", 2, 0x4000),
    ("nat", "KUBE-SEP-A", 1, 0x4000),
    ("nat", "POSTROUTING", 1, 0x4000),
    ("nat", "KUBE-POSTROUTING", 2, 0x4000),
    ("nat", "KUBE-POSTROUTING", 3, 0),
)


def packet(ends: str = ASKS, identity: bytes = b"1") -> Packet:
    one = way(ends)
    return Packet(
        protocol="tcp",
        source=one.src,
        destination=one.dst,
        source_port=one.sport,
        destination_port=one.dport,
        identity=identity,
    )


def event(table: str, chain: str, number: int, mark: int = 0, **more: Any) -> Event:
    """Return an event of iptables-legacy, each of which has the packet's headers."""
    told = {"packet": packet(), "ct_id": 77, "kind": "rule", "number": number, "mark": mark, "marked_before": True}
    return Event(**{"netns": "node-1", "id": 0, "family": "ip", "table": table, "chain": chain, **told, **more})


def taken(packets: Packets, events: list[Event]) -> list[tuple[Event, ...]]:
    """Return what came to an end with each event."""
    return [packets.take(one, BOOK) for one in events]


def told(events: tuple[Event, ...]) -> RuleHits:
    found = hits(events, BOOK, "node-1", BEGAN_NS)
    assert found is not None
    return found


# --- events put together ---------------------------------------------------------------------------------------------


def test_what_rules_did_with_a_packet_is_told_in_one_piece_when_its_flow_begins() -> None:
    packets = Packets()
    assert not any(taken(packets, [event(*one) for one in WAY]))
    found = told(packets.through(FLOW))
    assert (found.protocol, found.original, found.service, found.end) == ("tcp", way(ASKS), "default/web:http", "")
    service = ("PREROUTING", "KUBE-SERVICES", "KUBE-SVC-W")
    assert [(one.deed, one.path, one.mark) for one in found.hits] == [
        ("mark", (*service, "KUBE-MARK-MASQ"), 0x4000),
        ("dnat", (*service, "KUBE-SEP-A"), None),
        ("mark", ("POSTROUTING", "KUBE-POSTROUTING"), 0),
        ("masquerade", ("POSTROUTING", "KUBE-POSTROUTING"), None),
    ]
    dnat = found.hits[1]
    assert (dnat.number, dnat.text.rpartition(" ")[2]) == (1, "10.244.2.2:8080")
    assert packets.through(FLOW) == ()  # told once


@pytest.mark.parametrize(
    ("last", "end", "comment"),
    [
        (event("filter", "INPUT", 1), "reject", "default/web:http has no endpoints"),
        (event("filter", "FORWARD", 2, kind="policy"), "drop", ""),
        (event("filter", "KUBE-FORWARD", 1), "drop", ""),
        (event("mangle", "X", 0, handle=9, verdict="drop", marked_before=False, family="inet"), "drop", ""),
    ],
)
def test_a_packet_that_dies_is_told_at_once(last: Event, end: str, comment: str) -> None:
    packets = Packets()
    first, second = taken(packets, [event("nat", "PREROUTING", 1), last])
    assert first == ()
    found = told(second)
    assert (found.end, found.hits[-1].deed, found.hits[-1].comment) == (end, end, comment)


def test_packets_that_nothing_was_done_to_are_not_told() -> None:
    packets = Packets()
    taken(packets, [event("nat", "PREROUTING", 1), event("nat", "PREROUTING", 0, kind="policy")])
    assert hits(packets.through(FLOW), BOOK, "node-1", BEGAN_NS) is None
    assert hits((), BOOK, "node-1", BEGAN_NS) is None


def test_packets_at_the_same_time_are_told_apart() -> None:
    packets = Packets()
    other = replace(FLOW, id=78, original=way("10.244.1.3:40213 10.96.0.10:80"))
    more: dict[str, Any] = {"packet": packet("10.244.1.3:40213 10.96.0.10:80", b"2"), "ct_id": 78}
    taken(packets, [event(*WAY[0]), event(*WAY[0], **more), event(*WAY[1]), event(*WAY[5], **more)])
    assert [one.chain for one in packets.through(other)] == ["PREROUTING", "KUBE-SEP-A"]
    assert [one.chain for one in packets.through(FLOW)] == ["PREROUTING", "KUBE-SERVICES"]


def test_without_entries_in_the_events_packets_are_known_by_what_nat_leaves_alone() -> None:
    packets = Packets()
    chosen = packet("10.244.1.3:40212 10.244.2.2:8080")
    taken(packets, [event(*WAY[0], ct_id=0), event("filter", "FORWARD", 1, ct_id=0, packet=chosen)])
    assert [one.chain for one in packets.through(FLOW)] == ["PREROUTING", "FORWARD"]


def test_an_event_without_headers_is_of_the_packet_that_last_had_its_id() -> None:
    packets = Packets()
    nft: dict[str, Any] = {"marked_before": False, "id": 5}
    taken(packets, [event(*WAY[0], **nft), event(*WAY[1], **nft, packet=None, ct_id=0)])
    assert len(packets.through(FLOW)) == 2
    assert taken(packets, [event(*WAY[1], **nft, packet=None, ct_id=0)]) == [()]
    assert packets.through(FLOW) == ()


def test_packets_whose_flow_never_comes_are_forgotten() -> None:
    packets = Packets()
    for number in range(12_000):
        ends = f"10.244.1.3:{number + 1} 10.96.0.10:80"
        one = replace(packet(ends), identity=number.to_bytes(4))
        packets.take(event(*WAY[0], packet=one, ct_id=number + 1, id=number), BOOK)
    assert len(packets._events) == len(packets._first) == len(packets._whose) == len(packets._same) == 10_000


@pytest.mark.parametrize("first", [0, 7])
def test_a_packet_is_one_although_the_rules_of_one_tool_alone_tell_its_entry(first: int) -> None:
    packets = Packets()
    legacy: dict[str, Any] = {"marked_before": True, "id": 0}
    packets.take(event(*WAY[0], packet=packet(ASKS), ct_id=first, **({} if first else legacy)), BOOK)
    packets.take(event(*WAY[0], packet=packet(ASKS), ct_id=7 - first, **(legacy if first else {})), BOOK)
    assert len(packets._events) == 1
    assert len(packets.through(replace(FLOW, id=7))) == 2
    assert not packets._same


# --- lines -----------------------------------------------------------------------------------------------------------

SERVICE = ("PREROUTING", "KUBE-SERVICES", "KUBE-SVC-W")
ENDS = "client-a 10.244.1.3:40212 -> svc/web 10.96.0.10:80"


def rules(*found: Hit, end: Any = "") -> RuleHits:
    return RuleHits(
        time_ns=BEGAN_NS,
        node="node-1",
        protocol="tcp",
        original=way(ASKS),
        service="default/web:http",
        hits=found,
        end=end,
    )


def hit(deed: Any, *path: str, **more: Any) -> Hit:
    return Hit(**{"deed": deed, "family": "ip", "table": "nat", "path": path, **more})


def change(kind: Any, **more: Any) -> FlowChange:
    return FlowChange(time_ns=BEGAN_NS, kind=kind, flow=replace(FLOW, **more))


@pytest.mark.parametrize(
    ("seen", "text"),
    [
        (change("new"), f"NEW     tcp {ENDS}, to web-2 10.244.2.2:8080"),
        (
            change("new", reply=way("10.244.2.2:8080 192.168.0.10:5555"), mark=0x10, zone=3),
            f"NEW     tcp {ENDS}, to web-2 10.244.2.2:8080, from node-1 192.168.0.10:5555, mark 0x10, zone 3",
        ),
        (change("new", reply=way(ASKS).inverse), f"NEW     tcp {ENDS}"),
        (change("update", tcp_state="", status=frozenset({"confirmed"})), f"UPDATE  tcp {ENDS}, unanswered"),
        (
            change("update", tcp_state="SYN_RECV", status=frozenset({"seen_reply"})),
            f"UPDATE  tcp {ENDS}, SYN_RECV, answered",
        ),
        (
            change("update", tcp_state="", protocol="udp", status=frozenset({"seen_reply", "assured"})),
            f"UPDATE  udp {ENDS}, assured",
        ),
        (change("destroy", counted=(1, 60)), f"DESTROY tcp {ENDS}, unanswered, 1 packet 60 bytes sent"),
        (change("destroy", status=frozenset({"seen_reply"})), f"DESTROY tcp {ENDS}"),
        (
            Loss(time_ns=BEGAN_NS, node="node-1", what="rules", number=12),
            "LOST    12 events of rules, for which the kernel had no room",
        ),
        (
            Loss(time_ns=BEGAN_NS, node="node-1", what="iptables-legacy", number=None),
            (
                "LOST    what iptables-legacy's rules do, if there are any: the kernel tells another lab.watch or"
                " lab.trace"
            ),
        ),
        (
            rules(
                hit("mark", *SERVICE, "KUBE-MARK-MASQ", mark=0x4000),
                hit("dnat", *SERVICE, "KUBE-SEP-A"),
                hit("mark", "POSTROUTING", "KUBE-POSTROUTING", mark=0),
                hit("masquerade", "POSTROUTING", "KUBE-POSTROUTING"),
            ),
            (
                f"RULES   tcp {ENDS}, default/web:http: KUBE-SERVICES > KUBE-SVC-W > KUBE-MARK-MASQ: mark 0x4000;"
                " KUBE-SEP-A: dnat; KUBE-POSTROUTING: mark 0x0, masquerade"
            ),
        ),
        (
            rules(hit("mark", "PREROUTING", table="mangle"), hit("dnat", "PREROUTING")),
            f"RULES   tcp {ENDS}, default/web:http: PREROUTING: mark; PREROUTING: dnat",
        ),
        (
            rules(hit("reject", "INPUT", table="filter", comment="default/web:http has\nno endpoints"), end="reject"),
            f"REJECT  tcp {ENDS}, default/web:http: INPUT: reject (default/web:http has no endpoints)",
        ),
        (rules(hit("drop", "FORWARD"), end="drop"), f"DROP    tcp {ENDS}, default/web:http: FORWARD: drop"),
    ],
)
def test_a_line_tells_when_where_and_what(seen: Seen, text: str) -> None:
    assert report.line(seen, NAMES, WIDE, width=8) == f"12:32:04.912442 node-1   {text}"


GOLDEN = Path(__file__).parent / "golden" / "watch"
SEEN = (
    rules(
        hit("mark", "PREROUTING", "KUBE-SERVICES", SVC, "KUBE-MARK-MASQ", mark=0x4000),
        hit("dnat", "PREROUTING", "KUBE-SERVICES", SVC, SEP_2),
        hit("mark", "POSTROUTING", "KUBE-POSTROUTING", mark=0),
        hit("masquerade", "POSTROUTING", "KUBE-POSTROUTING"),
    ),
    change("new", reply=way("10.244.2.2:8080 192.168.0.10:32657"), mark=0x10),
    change("update", tcp_state="ESTABLISHED", status=frozenset({"seen_reply", "assured"})),
    replace(
        rules(hit("dnat", "nat-prerouting", "services", "service-SUSTUHLJ-default/web/tcp/http", family="inet")),
        original=way("fd00:10:244:1::3:40212 fd00:10:96::a:80"),
    ),
    rules(hit("reject", "INPUT", table="filter", comment="default/web:http has no endpoints"), end="reject"),
    change("destroy", counted=(5, 412)),
    Loss(time_ns=BEGAN_NS, node="node-1", what="iptables-legacy", number=None),
)


def shown(width: int, *, colour: bool = False) -> str:
    look = Look(width=width, colour=colour)
    return "".join(f"{report.line(one, NAMES, look, usual='iptables-nft')}\n" for one in SEEN)


@pytest.mark.parametrize("width", [80, 100])
def test_a_line_that_is_too_long_for_the_terminal_goes_on_in_indented_ones(width: int) -> None:
    lines = shown(width).splitlines()
    assert max(map(len, lines)) <= width
    assert [line == line.rstrip() for line in lines] == [True] * len(lines)
    assert shown(width) == (GOLDEN / f"{width}.txt").read_text(encoding="utf-8")


def test_a_folded_line_says_what_the_whole_one_says_in_its_colours() -> None:
    assert shown(80).split() == shown(100).split() == shown(1000).split()
    assert shown(1000).count("\n") == len(SEEN)
    assert re.sub(r"\x1b\[\d+m", "", shown(80, colour=True)) == shown(80)
    assert shown(1) == shown(40)


def test_colours_are_for_terminals() -> None:
    assert "\x1b[32mNEW    \x1b[0m tcp" in report.line(change("new"), NAMES, Look(colour=True, width=200))
    dropped = report.line(rules(hit("drop", "X"), end="drop"), NAMES, Look(colour=True, width=200))
    assert "\x1b[31mDROP   \x1b[0m tcp" in dropped


def test_the_rules_of_another_tool_are_told_as_such() -> None:
    hits = (
        hit("mark", "FORWARD", tool="iptables-nft", mark=7),
        hit("drop", "FORWARD", tool="iptables-legacy"),
    )
    seen = rules(*hits, end="drop")
    assert report.line(seen, NAMES, WIDE, usual="iptables-nft").endswith(
        ": FORWARD: mark 0x7; iptables-legacy's FORWARD: drop"
    )
    assert report.line(seen, NAMES, WIDE, usual="iptables-legacy").endswith(
        "iptables-nft's FORWARD: mark 0x7; FORWARD: drop"
    )


# --- JSON ------------------------------------------------------------------------------------------------------------


def test_json_says_the_same_to_programs() -> None:
    head = {"apiVersion": "hairpin/v1alpha1", "kind": "Event", "time": "2026-11-23T12:32:04.912442Z", "node": "node-1"}
    seen = (
        change("destroy", counted=(5, 400)),
        rules(hit("dnat", "PREROUTING", "KUBE-SEP-A", text="-A KUBE-SEP-A ...", handle=4, number=1)),
        Loss(time_ns=BEGAN_NS, node="node-1", what="conntrack", number=2),
    )
    flow, rule, lost = (json.loads(json.dumps(report.data(one, NAMES))) for one in seen)
    assert all(head.items() <= one.items() for one in (flow, rule, lost))
    assert [one["type"] for one in (flow, rule, lost)] == ["destroy", "rules", "lost"]
    assert (flow["flow"]["packets"], flow["flow"]["bytes"], flow["flow"]["dnat"]) == (5, 400, True)
    assert flow["flow"]["original"]["dst_name"] == rule["original"]["dst_name"] == "svc/web"
    assert (rule["protocol"], rule["service"], rule["end"]) == ("tcp", "default/web:http", "")
    assert rule["hits"] == [
        {
            "deed": "dnat",
            "family": "ip",
            "table": "nat",
            "tool": None,
            "path": ["PREROUTING", "KUBE-SEP-A"],
            "mark": None,
            "rule": "-A KUBE-SEP-A ...",
            "comment": "",
            "handle": 4,
            "number": 1,
        }
    ]
    assert (lost["what"], lost["number"]) == ("conntrack", 2)


def test_names_of_addresses_that_nobody_has_are_empty() -> None:
    stranger = change("new", original=replace(way(ASKS), src=ip_address("203.0.113.9")))
    assert report.data(stranger, NAMES)["flow"]["original"]["src_name"] == ""
    assert " 203.0.113.9:40212 -> " in report.line(stranger, NAMES, WIDE)


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for columns in (80, 100):
        (GOLDEN / f"{columns}.txt").write_text(shown(columns), encoding="utf-8")
