"""Every table is compared with its golden byte by byte; `python tests/test_report.py` writes them anew."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from ipaddress import IPv4Network, ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from msgspec.structs import replace as with_

from lab.model.cluster import Cluster
from lab.model.finding import Finding
from lab.model.flow import Flow
from lab.model.kubernetes import EndpointSlice, Node, Pod, PodCondition, Service
from lab.model.lab import Client, Expectation, Lab, LabMeta, LabSpec, RulesExpectation, Step, When
from lab.model.nft_ruleset import NftRuleset
from lab.model.ops import Namespace, Rules, Sysctl
from lab.model.request import Reply
from lab.model.ruleset import Ruleset
from lab.model.status import LabRow, status_of
from lab.model.trace import Tool
from lab.report import findings, flows, labs, plan, replies, status
from lab.report.table import Look, look, shortened, table, wrap
from tests import rendered_iptables, rendered_nftables
from tests.journeys import way

if TYPE_CHECKING:
    from collections.abc import Callable

GOLDEN = Path(__file__).parent / "golden" / "report"

NAMES = {
    ip_address(address): name
    for address, name in {
        "10.244.1.1": "node-1/cbr0",
        "10.244.1.2": "client-a",
        "10.244.1.3": "web-1",
        "10.244.2.2": "web-2",
        "10.96.0.10": "svc/web",
        "192.168.0.11": "node-1",
        "198.51.100.2": "client",
        "fd00:10:244:1::2": "client-a",
        "fd00:10:244:2::2": "web-2",
        "fd00:10:96::a": "svc/web",
    }.items()
}


def flow(original: str, reply: str, *, tcp_state: str = "", answered: bool = True, mark: int = 0) -> Flow:
    return Flow(
        node="node-1",
        protocol="tcp" if tcp_state else "udp",
        original=way(original),
        reply=way(reply),
        tcp_state=tcp_state,
        mark=mark,
        status=frozenset({"confirmed", "seen_reply"} if answered else {"confirmed"}),
        timeout_s=119,
        id=7,
    )


DNAT = flow("10.244.1.2:40212 10.96.0.10:80", "10.244.2.2:8080 10.244.1.2:40212", tcp_state="TIME_WAIT")
HAIRPIN = flow(
    "10.244.1.3:58210 10.96.0.10:80", "10.244.1.3:8080 10.244.1.1:12345", tcp_state="ESTABLISHED", mark=0x4000
)
FLOWS = (
    DNAT,
    HAIRPIN,
    replace(HAIRPIN, node="node-2", tcp_state="SYN_SENT", status=frozenset({"confirmed"})),
    flow("10.244.1.2:5353 10.244.2.2:53", "10.244.2.2:53 10.244.1.2:5353", answered=False),
)
SIX = flow(
    "fd00:10:244:1::2:40212 fd00:10:96::a:80", "fd00:10:244:2::2:8080 fd00:10:244:1::2:40212", tcp_state="CLOSE_WAIT"
)


def finding(what: str, expected: str, observed: str, *, holds: bool, it: str = "a pod reaches itself") -> Finding:
    return Finding(it=it, what=what, expected=expected, observed=observed, holds=holds)


GOOD = (
    finding("answer", "answered by web-1 or web-2", "answered by web-2 in 0.8 ms", holds=True, it="a pod is reached"),
    finding("source", "client-a 10.244.1.2", "client-a 10.244.1.2", holds=True, it="a pod is reached"),
)
BAD = (
    finding("answer", "answered by web-1", "timeout after 1.0 s", holds=False),
    finding("flow on node-1", "answered", "unanswered, web-1 10.244.1.3:58210 -> svc/web 10.96.0.10:80", holds=False),
    finding("DNAT on node-1", "DNAT to web-1", "svc/web 10.96.0.10:80 -> web-1 10.244.1.3:8080", holds=True),
)
LEFT_OUT = (Expectation(it="the port's flag off", from_="web-1", to="svc/web", when=When(hairpin_mode="none")),)

WEB_2 = Reply(
    status=200,
    pod="web-2",
    node="node-2",
    source=(ip_address("10.244.1.2"), 40212),
    local=(ip_address("10.244.1.2"), 40212),
    latency_s=0.0008,
)
WEB_1 = replace(WEB_2, pod="web-1", node="node-1", latency_s=0.0005)
TIMEOUT = Reply(error="timeout", latency_s=1.0)
MANY = (*[WEB_1] * 52, *[WEB_2] * 41, *[TIMEOUT] * 2)


def cluster() -> Cluster:
    def read(kind: type, value: object) -> Any:
        return msgspec.convert(
            value, kind, dec_hook=lambda _, text: IPv4Network(text) if "/" in text else ip_address(text)
        )

    def pod(name: str, node: str, address: str) -> Any:
        ports = [{"containerPort": 8080}, {"containerPort": 53, "protocol": "UDP"}]
        spec = {"nodeName": node, "containers": [{"ports": ports}]}
        return read(Pod, {"metadata": {"name": name}, "spec": spec, "status": {"podIP": address}})

    def node(number: int) -> Any:
        return read(
            Node,
            {
                "metadata": {"name": f"node-{number}"},
                "spec": {"podCIDR": f"10.244.{number}.0/24"},
                "status": {"addresses": [{"type": "InternalIP", "address": f"192.168.0.1{number}"}]},
            },
        )

    ports = [{"name": "http", "port": 80, "nodePort": 30080}, {"name": "dns", "port": 53, "protocol": "UDP"}]
    service = {"type": "NodePort", "clusterIP": "10.96.0.10", "externalIPs": ["203.0.113.10"], "ports": ports}
    endpoints = [
        {"addresses": [f"10.244.{n // 9 + 1}.{n}"], "targetRef": {"name": f"web-{n}"}, "conditions": {"ready": n != 2}}
        for n in range(1, 7)
    ]
    piece = {
        "metadata": {"name": "web-1", "labels": {"kubernetes.io/service-name": "web"}},
        "endpoints": endpoints,
        "ports": [{"name": "http", "port": 8080}],
    }
    return Cluster(
        lab=Lab(
            metadata=LabMeta(name="clusterip"),
            spec=LabSpec(clients=(Client(name="client", addresses=(ip_address("198.51.100.2"),)),)),
        ),
        nodes=(node(1), node(2)),
        pods=(
            pod("client-a", "node-1", "10.244.1.2"),
            pod("web-1", "node-1", "10.244.1.3"),
            pod("web-2", "node-2", "10.244.2.2"),
        ),
        services=(
            read(Service, {"metadata": {"name": "web"}, "spec": service}),
            read(Service, {"metadata": {"name": "db", "namespace": "prod"}, "spec": {"clusterIP": "None"}}),
        ),
        slices=(read(EndpointSlice, piece),),
    )  # fmt: skip


STATUS = status_of(cluster(), lab="demo", keeper_pid=4242, age_s=765.0, health={"web-1": 0.0004, "web-2": None})
OPS = (
    Namespace(netns="node-1"),
    Namespace(netns="web-1"),
    Sysctl(netns="node-1", key="net.ipv4.ip_forward", value="1"),
    Rules(
        netns="node-1",
        tool="iptables-nft",
        family="ipv4",
        text="*nat\n:KUBE-SVC - [0:0]\n-A KUBE-SVC -j RETURN\nCOMMIT\n",
    ),
)
LABS = [
    LabRow(name="demo", topology="clusterip", age_s=765.0, keeper_pid=4242),
    LabRow(name="other", topology="hairpin", age_s=3.2, keeper_pid=99),
]


def as_json(data: object) -> str:
    return json.dumps(data, indent=1, ensure_ascii=False)


CASES: dict[str, Callable[[], str]] = {
    "flows.txt": lambda: flows.text(FLOWS, NAMES),
    "flows-ipv6.txt": lambda: flows.text([SIX], NAMES),
    "flows.json": lambda: as_json(flows.data(FLOWS[:1], NAMES)),
    "findings.txt": lambda: findings.text([GOOD, BAD], LEFT_OUT),
    "findings-ascii.txt": lambda: findings.text([GOOD, BAD], LEFT_OUT, look("ascii")),
    "findings-good.txt": lambda: findings.text([GOOD]),
    "findings.json": lambda: as_json(findings.data([GOOD, BAD], LEFT_OUT)),
    "reply.txt": lambda: replies.text([WEB_2], ["web-1", "web-2"], NAMES),
    "replies-few.txt": lambda: replies.text([WEB_2, TIMEOUT, WEB_2], ["web-1", "web-2"], NAMES),
    "replies-many.txt": lambda: replies.text(MANY, ["web-1", "web-2"], NAMES),
    "replies.json": lambda: as_json(replies.data([WEB_2, TIMEOUT], ["web-1", "web-2"], NAMES)),
    "status.txt": lambda: status.text(STATUS),
    "status-short.txt": lambda: status.text(STATUS, most=1),
    "status.json": lambda: as_json(status.data(STATUS)),
    "labs.txt": lambda: labs.text(LABS),
    "labs-none.txt": lambda: labs.text([]),
    "labs.json": lambda: as_json(labs.data(LABS)),
    "plan.txt": lambda: plan.text(OPS),
    "plan.json": lambda: as_json(plan.data(OPS)),
}
TABLES = [name for name in CASES if name.endswith(".txt")]


@pytest.mark.parametrize("name", CASES)
def test_report_is_byte_for_byte_its_golden(name: str) -> None:
    assert CASES[name]() + "\n" == (GOLDEN / name).read_text()


def test_a_pods_conditions_stand_before_whether_it_answers() -> None:
    there = cluster()
    client, one, other = there.pods
    gone = with_(one, metadata=with_(one.metadata, deletion_timestamp="2026-01-01T00:00:00Z"))
    unready = with_(other, status=with_(other.status, conditions=(PodCondition(type="Ready", status="False"),)))
    there = replace(there, pods=(client, gone, unready))
    told = status_of(there, lab="demo", keeper_pid=1, age_s=1.0, health={"web-1": 0.0004, "web-2": None})
    assert [(pod.ready, pod.terminating) for pod in told.pods] == [(True, False), (True, True), (False, False)]
    text = status.text(told)
    assert re.search(r"web-1 .* terminating, answers in 0\.4 ms *\n", text)
    assert re.search(r"web-2 .* not ready, does not answer *\n", text)


def test_every_golden_has_its_case() -> None:
    assert {path.name for path in GOLDEN.iterdir()} == set(CASES)


@pytest.mark.parametrize("name", TABLES)
def test_tables_fit_into_100_columns_without_colour_codes_or_blanks_at_the_end(name: str) -> None:
    for line in CASES[name]().splitlines():
        assert len(line) <= 100
        assert line == line.rstrip()
        assert "\x1b" not in line


@pytest.mark.parametrize(
    "draw",
    [
        lambda shown: flows.text(FLOWS, NAMES, shown),
        lambda shown: findings.text([GOOD, BAD], LEFT_OUT, shown),
        lambda shown: replies.text(MANY, ["web-1", "web-2"], NAMES, shown),
        lambda shown: status.text(STATUS, shown),
    ],
)
def test_colours_change_nothing_but_the_colour(draw: Callable[[Look], str]) -> None:
    coloured = draw(Look(colour=True))
    assert "\x1b[" in coloured
    assert re.sub(r"\x1b\[\d+m", "", coloured) == draw(Look())


def test_marks_are_ascii_where_the_encoding_has_no_ticks() -> None:
    assert look("utf-8").unicode
    for encoding in ("ascii", "latin-1", None, "no such encoding"):
        assert findings.text([GOOD, BAD], LEFT_OUT, look(encoding)).isascii()


def test_flows_keep_to_their_lines_when_the_names_are_too_long_for_the_width() -> None:
    long = {address: f"a-rather-long-name-{number}" for number, address in enumerate(NAMES)}
    lines = flows.text(FLOWS[:1], long).splitlines()
    assert max(map(len, lines)) <= 100
    assert len(lines) == 1 + 2 + 4
    assert len(flows.text(FLOWS[:1], NAMES).splitlines()) == 1 + 2 + 2


def test_the_reply_of_a_flow_stands_under_its_request_where_there_is_no_room_beside_it() -> None:
    ends = [ip_address(f"fd00:10:244:1::{number}") for number in range(1, 5)]
    flow = replace(
        FLOWS[0],
        original=way("fd00:10:244:1::1:50984 fd00:10:244:1::2:8080"),
        reply=way("fd00:10:244:1::3:18080 fd00:10:244:1::4:50984"),
    )
    names = dict(zip(ends, ("client-a", "svc/web", "web-2", "node-1"), strict=True))
    _, *lines = flows.text([flow], names, Look(width=80)).splitlines()
    assert [line.split()[1] for line in lines[:2]] == ["REQUEST", "REPLY"]
    assert [line[7:].split("  ")[0].split()[-1] for line in lines[2:]] == [
        "[fd00:10:244:1::1]:50984",
        "[fd00:10:244:1::2]:8080",
        "[fd00:10:244:1::3]:18080",
        "[fd00:10:244:1::4]:50984",
    ]
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("width", [0, 1, 10, 60, 300])
def test_any_width_of_terminal_will_do(width: int) -> None:
    shown = Look(width=width)
    assert "10.96.0.10:80" in findings.text([GOOD, BAD], LEFT_OUT, shown)
    assert "10.96.0.10:80" in flows.text(FLOWS, NAMES, shown)
    assert status.text(STATUS, shown)
    assert plan.text(OPS, shown)


def test_a_plan_counts_the_rules_of_either_mode() -> None:
    nft, iptables = rendered_nftables.rendered(), rendered_iptables.rendered()
    counted: tuple[tuple[Tool, NftRuleset | Ruleset, int], ...] = (
        ("nft", nft, sum(len(chain.rules) for chain in nft.chains)),
        ("iptables-nft", iptables, sum(len(chain.rules) for _, chain in iptables.chains())),
    )
    for tool, ruleset, number in counted:
        op = Rules(netns="node-1", tool=tool, family="ipv4", text=ruleset.restore_text())
        assert plan.text([op]) == f"1 rule set and {number} rules"


def test_a_translation_of_the_port_alone_is_named_by_its_port() -> None:
    moved = flow("10.244.1.2:40212 10.244.2.2:80", "10.244.2.2:80 10.244.1.2:1025", tcp_state="CLOSE")
    assert flows.translations(moved, NAMES) == ["SNAT port 1025"]


def test_no_flows_are_said_to_be_none() -> None:
    assert flows.text([], NAMES) == "no flows"


def test_text_from_outside_cannot_leave_its_line_or_paint_the_terminal() -> None:
    nasty = "a\x1b[31m red\nsecond line\x07\u202e"
    shown = [
        findings.text([[finding("answer", nasty, nasty, holds=False, it=nasty)]]),
        replies.text([replace(WEB_2, pod=nasty, node=nasty), Reply(error=nasty)], [], NAMES),
    ]
    for text in shown:
        assert "a?[31m red second line??" in text
        assert not set(text) & {"\x1b", "\x07", "\u202e"}


def test_a_verdict_counts_what_failed_and_names_what_was_left_out() -> None:
    assert findings.text([GOOD, GOOD]).endswith("all 2 expectations hold (4 findings)")
    assert findings.text([BAD]).endswith("1 of 1 expectation failed (2 findings)")
    assert findings.text([]) == "nothing was expected of this lab"
    assert findings.data([])["holds"] is True
    assert findings.data([GOOD, BAD])["holds"] is False


def test_what_is_left_out_is_named_with_the_labs_that_it_is_for() -> None:
    rules = RulesExpectation(node="node-1", hit=("KUBE-SVC > KUBE-SEP",))
    counted = Expectation(it="counted", from_="a", to="b", rules=rules, when=When(iptables="legacy"))
    shown = findings.text([GOOD], [counted])
    assert "left out: counted (only when mode is iptables and iptables is legacy)" in shown
    assert findings.data([GOOD], [counted])["left_out"] == [
        {"it": "counted", "when": {"mode": "iptables", "iptables": "legacy"}}
    ]


def test_what_is_left_out_for_its_rules_is_for_labs_of_their_mode() -> None:
    nft, none = (RulesExpectation(node="node-1", hit=hit) for hit in (("services > service",), ()))
    step = Step(it="later", rules=nft)
    meant = Expectation(it="meant", from_="a", to="b", rules=nft)
    left = [meant, with_(meant, rules=none, when=When(overlay="vxlan")), with_(meant, rules=(), then=(step,))]
    told = [one["when"] for one in findings.data([GOOD], left)["left_out"]]
    assert told == [{"mode": "nftables"}, {"overlay": "vxlan"}, {"mode": "nftables"}]


def test_an_expectation_fails_visibly_by_its_first_failing_finding() -> None:
    half = (GOOD[0], finding("source", "client-a", "node-1", holds=False))
    assert "source: node-1" in findings.text([half]).splitlines()[1]


def test_an_endpoint_outside_its_fair_share_is_painted_red() -> None:
    unfair = [WEB_1] * 90 + [WEB_2] * 5
    shown = replies.text(unfair, ["web-1", "web-2"], NAMES, Look(colour=True))
    assert "\x1b[31m90\x1b[0m" in shown
    assert "\x1b[31m" not in replies.text(MANY, ["web-1", "web-2"], NAMES, Look(colour=True))


def test_latency_is_that_of_the_answers_alone() -> None:
    assert replies.data([WEB_1, TIMEOUT], [], NAMES)["latency_s"]["max"] == WEB_1.latency_s
    assert replies.data([TIMEOUT], [], NAMES)["latency_s"] is None


def test_status_is_healthy_unless_a_pod_is_silent() -> None:
    assert not STATUS.healthy
    assert status_of(cluster(), lab="demo", keeper_pid=1, age_s=0).healthy


def test_a_service_shows_the_endpoints_of_each_of_its_ports() -> None:
    web, _ = STATUS.services
    http, dns = web.ports
    assert [endpoint.pod for endpoint in http.endpoints] == [f"web-{number}" for number in range(1, 7)]
    assert [endpoint.ready for endpoint in http.endpoints].count(False) == 1
    assert dns.endpoints == ()


def test_a_cell_wraps_between_words_and_keeps_an_address_whole() -> None:
    assert wrap("to [fd00:10:244:1::2]:40212 now", 10) == "to\n[fd00:10:244:1::2]:40212\nnow"


def test_numbers_are_printed_as_they_are_written() -> None:
    assert table([["1.10", "007"]], ["A", "B"]) == "A     B\n1.10  007"


def test_a_long_list_ends_with_the_number_left_out() -> None:
    assert shortened(["a", "b", "c"], 2) == ["a", "b", "and 1 more"]
    assert shortened(["a", "b"], 2) == ["a", "b"]


if __name__ == "__main__":
    for name, draw in CASES.items():
        (GOLDEN / name).write_text(draw() + "\n")
