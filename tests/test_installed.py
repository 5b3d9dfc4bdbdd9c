"""Installed rules in the order in which a packet meets them, read from what iptables-save and nft print."""

from __future__ import annotations

import re
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest
from msgspec.structs import replace as with_

from lab.model.address import Family
from lab.model.cluster import Cluster
from lab.model.drift import Difference
from lab.model.flow import Flow, Tuple
from lab.model.installed import Installed, Line
from lab.model.lab import Mode
from lab.model.netfilter import Table
from lab.model.ruleset import Ruleset
from lab.parse import saved_rules
from lab.proxy import installed
from lab.proxy.partial import of_service
from lab.report import rules as report
from tests.transactions import NODE, iptables_rules, rules_of, saved, with_services

WEB = ("default", "web")


def lines(mode: Mode, service: tuple[str, str] | None) -> tuple[Line, ...]:
    cluster = with_services("web", "db", mode=mode)
    return installed.lines(tables_of(cluster), of_service(cluster, NODE, "ipv4", service) if service else None)


def tables_of(cluster: Cluster) -> tuple[Table, ...]:
    ruleset = rules_of(cluster, "ipv4")
    text = saved(iptables_rules(ruleset)) if isinstance(ruleset, Ruleset) else ruleset.restore_text()
    return saved_rules.read(text, "test")[0]


def heads(found: tuple[Line, ...]) -> list[str]:
    return [f"{line.table} {line.chain}" for line in found if line.kind == "chain"]


def test_the_chains_of_a_service_follow_the_way_of_its_packets() -> None:
    found = lines("iptables", WEB)
    assert [re.sub(r"-[A-Z0-9]{16}$", "", head) for head in heads(found)] == [
        "nat PREROUTING",
        "nat KUBE-SERVICES",
        "nat KUBE-SVC",
        "nat KUBE-MARK-MASQ",
        "nat KUBE-SEP",
        "nat KUBE-SEP",
        "nat OUTPUT",
    ]
    depths = [line.depth for line in found if line.kind == "chain"]
    assert depths == [0, 2, 4, 6, 6, 6, 0]
    assert not any("default/db" in line.text for line in found)
    assert {(line.packets, line.octets) for line in found if line.kind == "rule"} == {(1, 2)}


@pytest.mark.parametrize("mode", ["iptables", "nftables"])
@pytest.mark.parametrize(("name", "other"), [("web", "db"), ("db", "web")])
def test_no_chain_of_another_service_is_shown(mode: Mode, name: str, other: str) -> None:
    texts = [line.text for line in lines(mode, ("default", name))]
    assert any(f"default/{name}" in text for text in texts)
    assert not any(f"default/{other}" in text for text in texts)


@pytest.mark.parametrize("mode", ["iptables", "nftables"])
def test_what_refuses_traffic_to_a_service_without_endpoints_is_shown(mode: Mode) -> None:
    cluster = replace(with_services("web", "db", mode=mode), slices=())
    found = installed.lines(tables_of(cluster), of_service(cluster, NODE, "ipv4", WEB))
    texts = [line.text for line in found if "10.96.0.10" in line.text]
    assert len(texts) == 1
    assert texts[0].endswith(("-j REJECT --reject-with icmp-port-unreachable", ": goto reject-chain"))
    assert not any("default/db" in line.text or "10.96.0.12" in line.text for line in found)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"cluster_ip": "None", "cluster_ips": ("None",)}, "is headless"),
        ({"type": "ExternalName", "cluster_ip": "", "cluster_ips": ()}, "is an ExternalName"),
        ({}, "invoke lab.drift shows what is missing"),
    ],
)
def test_a_service_without_rules_says_why(changes: dict[str, Any], why: str) -> None:
    (web,) = with_services("web").services
    assert why in report.text([], service=with_(web, spec=with_(web.spec, **changes)))


def test_the_map_elements_of_a_service_lead_to_its_chains() -> None:
    found = lines("nftables", WEB)
    assert heads(found) == [
        "kube-proxy nat-prerouting",
        "kube-proxy services",
        "kube-proxy service-SUSTUHLJ-default/web/tcp/http",
        "kube-proxy nat-output",
    ]
    (element,) = [line.text for line in found if line.kind == "element"]
    assert element == "10.96.0.10 . tcp . 80 : goto service-SUSTUHLJ-default/web/tcp/http"


def flow(to: str, endpoint: str, packets: int | None, port: int = 80) -> Flow:
    client, server, answers = map(ip_address, ("10.244.1.9", to, endpoint))
    return Flow(
        node=NODE,
        protocol="tcp",
        original=Tuple(src=client, dst=server, sport=4000, dport=port),
        reply=Tuple(src=answers, dst=client, sport=8080, dport=4000),
        counted=None if packets is None else (packets, 100 * packets),
    )


def counts(flows: list[Flow], service: tuple[str, str] = WEB) -> dict[str, int | None]:
    """Return the packets of each element and endpoint, and of the rule that chooses one."""
    cluster = with_services("web", "db", mode="nftables")
    node_port = with_(cluster.services[0].spec.ports[0], node_port=30080)
    spec = with_(cluster.services[0].spec, type="NodePort", ports=(node_port,))
    cluster = replace(cluster, services=(with_(cluster.services[0], spec=spec), *cluster.services[1:]))
    only = of_service(cluster, NODE, "ipv4", service)
    found = installed.lines(tables_of(cluster), only, flows)
    return {line.text.split(" : ")[0]: line.packets for line in found if line.kind != "chain"}


def test_in_nftables_mode_the_flows_are_counted_by_element_and_endpoint() -> None:
    found = counts(
        [
            flow("10.96.0.10", "10.244.1.2", 3),
            flow("10.96.0.10", "10.244.2.3", 5),
            flow("192.168.0.10", "10.244.1.2", 7, port=30080),
            flow("10.96.0.12", "10.244.1.2", 11),  # another Service, with the same endpoint
            flow("10.244.1.2", "10.244.1.2", 13, port=8080),  # no Service
        ]
    )
    assert found["10.96.0.10 . tcp . 80"] == 8
    assert found["tcp . 30080"] == 7
    assert found["10.244.1.2 . 8080"] == 10
    assert found["10.244.2.3 . 8080"] == 5
    assert next(packets for text, packets in found.items() if "dnat" in text) == 15
    assert "10.96.0.12 . tcp . 80" not in found


def test_flows_that_the_kernel_does_not_count_count_for_nothing() -> None:
    assert set(counts([flow("10.96.0.10", "10.244.1.2", None)]).values()) == {None}
    assert counts([])["10.96.0.10 . tcp . 80"] == 0


@pytest.mark.parametrize("mode", ["iptables", "nftables"])
def test_without_a_service_the_chains_of_all_are_shown_and_none_of_their_own(mode: Mode) -> None:
    found = lines(mode, None)
    assert not any("SVC" in head or "/" in head for head in heads(found))
    texts = " ".join(line.text for line in found)
    assert "10.96.0.10" in texts
    assert "10.96.0.12" in texts
    assert len(heads(found)) == len(set(heads(found))) > 12


def test_rules_of_others_are_left_out() -> None:
    cluster = with_services("web")
    ruleset = rules_of(cluster, "ipv4")
    assert isinstance(ruleset, Ruleset)
    there = iptables_rules(ruleset)
    there["filter", "INPUT"].append("-s 192.0.2.1/32 -j DROP")
    there["filter", "MINE"] = ["-s 192.0.2.2/32 -j DROP"]
    there["filter", "INPUT"].append("-j MINE")
    tables, _ = saved_rules.read(saved(there), "test")
    assert not any("192.0.2" in line.text or line.chain == "MINE" for line in installed.lines(tables, None))


BLOCK = Installed(
    node="node-1",
    family="ipv4",
    tool="iptables-nft",
    lines=(
        Line("chain", 0, "nat", "PREROUTING"),
        Line("rule", 1, "nat", "PREROUTING", "-j KUBE-SERVICES", 12, 720),
        Line("chain", 2, "nat", "KUBE-SERVICES"),
        Line("rule", 3, "nat", "KUBE-SERVICES", "-j KUBE-SVC-A", 123456789, 5),
    ),
)


def test_counters_stand_before_the_rules_and_jumps_are_indented() -> None:
    assert report.text([BLOCK]) == (
        "node-1, IPv4, iptables-nft\n"
        "  PACKETS BYTES  RULE\n"
        "                 nat PREROUTING\n"
        "       12   720    -j KUBE-SERVICES\n"
        "                     nat KUBE-SERVICES\n"
        "123456789     5        -j KUBE-SVC-A"
    )
    uncounted = replace(BLOCK, lines=tuple(replace(line, packets=None, octets=None) for line in BLOCK.lines[:2]))
    assert report.text([uncounted]) == "node-1, IPv4, iptables-nft\n  nat PREROUTING\n    -j KUBE-SERVICES"
    assert report.text([replace(BLOCK, lines=())]) == "no rules"
    (data,) = report.data([BLOCK])
    assert data["lines"][1] == {
        "kind": "rule",
        "depth": 1,
        "table": "nat",
        "chain": "PREROUTING",
        "text": "-j KUBE-SERVICES",
        "packets": 12,
        "bytes": 720,
    }


def test_drift_is_told_in_sentences() -> None:
    found: list[tuple[str, Family, list[Difference]]] = [
        (
            "node-1",
            "ipv4",
            [Difference("missing", "rule", "nat", "KUBE-A", "-j B"), Difference("extra", "chain", "nat", "C")],
        ),
        ("node-1", "ipv6", []),
    ]
    assert report.drift_text(found) == (
        "node-1, IPv4: 2 differences\n  nat KUBE-A: rule is missing: -j B\n  nat C: chain that nobody wants"
    )
    assert report.drift_text([("node-1", "ipv6", [])]) == "every rule is as it should be"
    assert [one["kind"] for one in report.drift_data(found)] == ["missing", "extra"]
