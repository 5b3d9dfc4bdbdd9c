"""`lab.check` sees what is wrong: every expectation of every topology fails in a lab that is broken for it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from lab import catalogue
from lab.parse import topology

from .conftest import Invoke

Lab = Callable[..., Invoke]
CHAIN = "KUBE-SVC-CDGGSHYLG3RE2FKL"  # of default/web:http, on every node of every topology


@dataclass(frozen=True, kw_only=True)
class Break:
    """What is done to a lab, and what must come of it: `red` fail and all others hold.

    `finding` is the first one of the first red expectation that does not hold: what, expected, observed; of the last
    two a part is enough.
    """

    topology: str
    options: tuple[str, ...] = ()
    place: str
    command: str
    red: tuple[str, ...]
    finding: tuple[str, str, str]


BREAKS = {
    "another source address for connections to Services": Break(
        topology="clusterip",
        place="node-1",
        command="iptables -t nat -I POSTROUTING -s 10.244.1.3 -p tcp -m conntrack --ctstate DNAT -j MASQUERADE",
        red=("a pod reaches the Service, and the server sees the pod's own address",),
        finding=("source", "client-a 10.244.1.3", "node-1"),
    ),
    "masquerade for everything that pods send": Break(
        topology="clusterip",
        place="node-1",
        command="iptables -t nat -I POSTROUTING -s 10.244.0.0/16 -j MASQUERADE",
        red=(
            "a pod reaches the Service, and the server sees the pod's own address",
            "a pod reaches another pod directly, without any translation",
            "UDP goes through the same chains",
        ),
        finding=("source", "client-a 10.244.1.3", "node-1"),
    ),
    "another probability": Break(
        topology="clusterip",
        place="node-1",
        command=f"iptables -t nat -I {CHAIN} 2 -m statistic --mode random --probability 0.8 "
        f"$(iptables -t nat -S {CHAIN} | tail -n 1 | grep -o -e '-j .*')",
        red=("both endpoints are chosen equally often",),
        finding=("shares", "equal: 24 to 71 of 95 each", "web-1"),
    ),
    "no mark for masquerading": Break(
        topology="clusterip",
        place="node-1",
        command=f"iptables -t nat -D {CHAIN} 1",
        red=("the node itself reaches the Service, masqueraded, since it is not a pod",),
        finding=("SNAT on node-1", "SNAT", "no SNAT: node-1 192.168.0.10"),
    ),
    "masquerade for what no Service translated": Break(
        topology="clusterip",
        place="node-1",
        command="iptables -t nat -I POSTROUTING -s 10.244.1.3 -m conntrack ! --ctstate DNAT -j MASQUERADE",
        red=("a pod reaches another pod directly, without any translation",),
        finding=("source", "client-a 10.244.1.3", "node-1"),
    ),
    "a Service's rule deleted": Break(
        topology="clusterip",
        place="node-1",
        command="iptables -t nat -D KUBE-SERVICES 1",
        red=("UDP goes through the same chains",),
        finding=("answer", "answered by web-1 or web-2", "timeout after 3.0 s"),
    ),
    "another port translated too": Break(
        topology="clusterip",
        place="node-1",
        command="iptables -t nat -I PREROUTING -p tcp -d 10.96.0.10 --dport 81 -j DNAT --to 10.244.1.2:8080",
        red=("nobody listens on another port of the Service, and nobody says so",),
        finding=("error", "timeout", "answered by web-1"),
    ),
    "another port refused aloud": Break(
        topology="clusterip",
        place="node-1",
        command="iptables -I FORWARD -p tcp -d 10.96.0.10 --dport 81 -j REJECT",
        red=("nobody listens on another port of the Service, and nobody says so",),
        finding=("error", "timeout", "refused"),
    ),
    "another port dropped in silence": Break(
        topology="clusterip",
        options=("--mode", "nftables"),
        place="node-1",
        command="nft insert rule ip kube-proxy cluster-ips-check tcp dport 81 drop",
        red=("the node refuses what goes to another port of the Service",),
        finding=("error", "refused", "timeout"),
    ),
    "a route to the ClusterIPs from outside": Break(
        topology="clusterip",
        place="router",
        command="ip rule add from 198.51.100.0/24 lookup 7 && ip route add 10.96.0.0/16 via 192.168.0.10 table 7",
        red=("a ClusterIP means nothing outside the cluster",),
        finding=("error", "timeout", "answered by web-"),
    ),
    "another source address for a pod's connections to octopus": Break(
        topology="octopus",
        place="node-2",
        command="iptables -t nat -I POSTROUTING -s 10.179.19.2 -p tcp -m conntrack --ctstate DNAT -j MASQUERADE",
        red=("a pod reaches the Service, and the server sees the pod's own address",),
        finding=("source", "squid 10.179.19.2", "node-2"),
    ),
    "another probability of an octopus": Break(
        topology="octopus",
        place="node-2",
        command="iptables -t nat -I KUBE-SVC-A5DEC2RXT22GYINZ 2 -m statistic --mode random --probability 0.8"
        " -j KUBE-SEP-F6GCOKQ4JCB6DUYR",
        red=("both endpoints are chosen equally often",),
        finding=("shares", "equal: 24 to 71 of 95 each", "octopus-web-2"),
    ),
    "no mark for masquerading on an octopus": Break(
        topology="octopus",
        place="node-1",
        command="iptables -t nat -D KUBE-SVC-A5DEC2RXT22GYINZ 1",
        red=("the node itself reaches the Service, masqueraded, since it is not a pod",),
        finding=("SNAT on node-1", "SNAT", "no SNAT: node-1 192.168.0.10"),
    ),
    "a route to the octopus from outside": Break(
        topology="octopus",
        place="router",
        command="ip rule add from 198.51.100.0/24 lookup 7 && ip route add 172.20.0.0/16 via 192.168.0.10 table 7",
        red=("a ClusterIP means nothing outside the cluster",),
        finding=("error", "timeout", "answered by octopus-web-"),
    ),
    "hairpin off": Break(
        topology="hairpin",
        place="node-1",
        command="bridge link set dev veth-web-1 hairpin off",
        red=("a pod reaches itself through its Service, and sees the bridge's address as the client",),
        finding=("answer", "answered by web-1", "timeout after 3.0 s"),
    ),
    "hairpin on where it should be off": Break(
        topology="hairpin",
        options=("--hairpin-mode", "none"),
        place="node-1",
        command="bridge link set dev veth-web-1 hairpin on",
        red=("without hairpin on its port the request cannot turn, and no flow is answered",),
        finding=("error", "timeout", "answered by web-1"),
    ),
    "hairpin on beside a promiscuous bridge": Break(
        topology="hairpin",
        options=("--hairpin-mode", "promiscuous-bridge"),
        place="node-1",
        command="bridge link set dev veth-web-1 hairpin on",
        red=("a promiscuous bridge does not help, since the bridge's netfilter translates before it",),
        finding=("error", "timeout", "answered by web-1"),
    ),
    "another pod masqueraded": Break(
        topology="hairpin",
        place="node-1",
        command="iptables -t nat -I POSTROUTING -s 10.244.1.3 -j MASQUERADE",
        red=("another pod reaches the Service in every mode, and keeps its address",),
        finding=("source", "client-a 10.244.1.3", "node-1/cbr0 10.244.1.1"),
    ),
    "a translation before kube-proxy's, without masquerade": Break(
        topology="nodeport",
        place="node-1",
        command="iptables -t nat -I PREROUTING -s 198.51.100.10 -p tcp --dport 30080 -j DNAT --to 10.244.1.2:8080",
        red=("a client outside reaches the Service on a node, whose address the server sees",),
        finding=("SNAT on node-1", "SNAT", "no SNAT: client 198.51.100.10"),
    ),
    "another address of the node": Break(
        topology="nodeport",
        place="node-3",
        command="ip address add 192.168.0.99/24 dev eth0"
        " && iptables -t nat -I POSTROUTING -p tcp --dport 8080 -j SNAT --to 192.168.0.99",
        red=("a node without an endpoint answers all the same",),
        finding=("SNAT on node-3", "SNAT to node-3/eth0", "192.168.0.99"),
    ),
    "another probability on the node that is asked": Break(
        topology="nodeport",
        place="node-3",
        command=f"iptables -t nat -I {CHAIN} 2 $(iptables -t nat -S {CHAIN} | tail -n 1 | grep -o -e '-j .*')",
        red=("both endpoints are chosen equally often, whichever node is asked",),
        finding=("shares", "equal: 24 to 71 of 95 each", "web-1 0 and web-2 95"),
    ),
    "no mark for what comes to a node port": Break(
        topology="nodeport",
        place="node-2",
        command=f"iptables -t nat -D {CHAIN.replace('SVC', 'EXT')} 1 && iptables -t nat -D {CHAIN} 2",  # web-2 is left
        red=("a pod is masqueraded too, since the node port is an outside address",),
        finding=("SNAT on node-2", "SNAT", "no SNAT: client-a 10.244.1.3"),
    ),
    "loopback addresses not routed": Break(
        topology="nodeport",
        place="node-1",
        command="sysctl -qw net.ipv4.conf.all.route_localnet=0",
        red=("the node reaches its node ports on the loopback address",),
        finding=("answer", "answered by web-1 or web-2", ""),
    ),
    "node ports on the loopback address": Break(
        topology="nodeport",
        options=("--mode", "nftables"),
        place="node-1",
        command="sysctl -qw net.ipv4.conf.all.route_localnet=1"
        " && nft add element ip kube-proxy nodeport-ips '{ 127.0.0.1 }'",
        red=("the node has no node port on its loopback address",),
        finding=("error", "refused", "answered by web-"),
    ),
    "node ports on the bridge's address": Break(
        topology="nodeport",
        options=("--mode", "nftables"),
        place="node-1",
        command="nft add element ip kube-proxy nodeport-ips '{ 10.244.1.1 }'",
        red=("the node has no node port on its bridge's address",),
        finding=("error", "refused", "answered by web-"),
    ),
    "a pod masqueraded on its way to the ClusterIP": Break(
        topology="nodeport",
        place="node-1",
        command="iptables -t nat -I POSTROUTING -s 10.244.1.3 -m conntrack --ctstate DNAT -j MASQUERADE",
        red=("the ClusterIP of the Service works beside",),
        finding=("source", "client-a 10.244.1.3", "node-1"),
    ),
    "the next port translated too": Break(
        topology="nodeport",
        place="node-1",
        command="iptables -t nat -I PREROUTING -p tcp --dport 30081 -j DNAT --to 10.244.1.2:8080",
        red=("nothing listens on the next port, and the node says so",),
        finding=("error", "refused", "answered by web-1"),
    ),
}
HEALTHY = [
    ("octopus", ()),
    ("octopus", ("--mode", "nftables")),
    ("clusterip", ()),
    ("clusterip", ("--iptables", "legacy")),
    ("clusterip", ("--mode", "nftables")),
    ("clusterip", ("--mode", "nftables")),
    ("hairpin", ()),
    ("hairpin", ("--mode", "nftables")),
    ("hairpin", ("--mode", "nftables")),
    ("hairpin", ("--hairpin-mode", "none")),
    ("hairpin", ("--hairpin-mode", "promiscuous-bridge")),
    ("nodeport", ()),
    ("nodeport", ("--iptables", "legacy")),
    ("nodeport", ("--mode", "nftables")),
    ("nodeport", ("--mode", "nftables")),
]


def _every() -> set[tuple[str, str]]:
    """Return all expectations of all topologies, by topology and sentence."""
    return {
        (entry.name, expectation.it)
        for entry in catalogue.entries()
        for expectation in topology.load(entry.folder).cluster.spec.expect
    }


def _checked(invoke: Invoke, status: int) -> list[dict[str, Any]]:
    done = invoke("lab.check", "--json")
    assert (done.returncode, done.stderr) == (status, "")
    verdict = json.loads(done.stdout)
    assert verdict["holds"] == (status == 0)
    expectations: list[dict[str, Any]] = verdict["expectations"]
    return expectations


@pytest.mark.parametrize(("name", "options"), HEALTHY)
def test_every_expectation_holds_in_a_lab_as_it_is_built(lab: Lab, name: str, options: tuple[str, ...]) -> None:
    expectations = _checked(lab(name, *options), 0)
    assert expectations
    assert all(expectation["holds"] for expectation in expectations)


def test_what_one_healthy_lab_leaves_out_another_one_tries() -> None:
    for name in {name for name, _ in HEALTHY}:
        cluster = topology.load(catalogue.find(name)).cluster
        modes = {
            expectation.when.hairpin_mode or cluster.spec.network.hairpin_mode for expectation in cluster.spec.expect
        }
        tried = {options[1] for known, options in HEALTHY if known == name and "--hairpin-mode" in options}
        assert modes <= tried | {cluster.spec.network.hairpin_mode}


def test_every_expectation_of_every_topology_is_broken_by_one_of_the_breaks() -> None:
    assert {(breaks.topology, it) for breaks in BREAKS.values() for it in breaks.red} == _every()


def test_every_expectation_is_the_only_one_to_fail_somewhere() -> None:
    assert {(breaks.topology, breaks.red[0]) for breaks in BREAKS.values() if len(breaks.red) == 1} == _every()


@pytest.mark.parametrize("broken", [pytest.param(breaks, id=name) for name, breaks in BREAKS.items()])
def test_a_broken_lab_fails_just_the_expectations_that_the_break_concerns(lab: Lab, broken: Break) -> None:
    invoke = lab(broken.topology, *broken.options)
    done = invoke("lab.exec", broken.place, broken.command)
    assert (done.returncode, done.stderr) == (0, "")
    expectations = _checked(invoke, 1)
    red = [expectation for expectation in expectations if not expectation["holds"]]
    assert [expectation["it"] for expectation in red] == list(broken.red)
    failed = next(finding for finding in red[0]["findings"] if not finding["holds"])
    what, expected, observed = broken.finding
    assert failed["what"] == what
    assert expected in failed["expected"]
    assert observed in failed["observed"]


def test_a_failed_expectation_is_shown_with_what_was_expected_and_what_was_observed(lab: Lab) -> None:
    invoke = lab("clusterip")
    assert invoke("lab.exec", "node-1", f"iptables -t nat -D {CHAIN} 1").returncode == 0
    done = invoke("lab.check")
    assert done.returncode == 1
    overview, details, summary = done.stdout.rstrip("\n").split("\n\n")
    assert overview.count("\u2713") == 6
    assert overview.count("\u2717") == 1
    title, header, *rows = details.splitlines()
    assert title == "the node itself reaches the Service, masqueraded, since it is not a pod"
    assert header.split() == ["WHAT", "EXPECTED", "OBSERVED"]
    (failed,) = [row for row in rows if row.startswith("\u2717")]
    assert re.fullmatch(r"\u2717 +SNAT on node-1 +SNAT +no SNAT: node-1 192\.168\.0\.10:\d+", failed)
    assert summary.splitlines()[-1] == "1 of 7 expectations failed (1 finding)"


def test_expectations_for_other_labs_are_named_with_their_condition(lab: Lab) -> None:
    invoke = lab("hairpin", "--hairpin-mode", "none")
    left_out = json.loads(invoke("lab.check", "--json").stdout)["left_out"]
    assert [expectation["when"] for expectation in left_out] == [
        {"hairpinMode": "hairpin-veth"},
        {"hairpinMode": "promiscuous-bridge"},
    ]
