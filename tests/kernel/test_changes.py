"""Whoever changes a lab by hand is heard, whatever tool it is; whoever only looks, or asks, is not."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator

import pytest

from lab.standing import session
from lab.workshop.changes import Changes

from .conftest import Invoke, lab_of_module

DEADLINE_S = 10.0


@pytest.fixture(scope="module")
def clusterip(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Invoke]:
    with lab_of_module(tmp_path_factory, "clusterip") as invoke:
        yield invoke


@pytest.fixture
def heard(clusterip: Invoke) -> Iterator[Changes]:  # noqa: ARG001 - its lab stands
    with Changes(session.attach("clusterip")) as changes:
        yield changes


def until(heard: Changes, kind: str) -> set[str]:
    """Wait until a kind of change was heard, and return all that was heard until then."""
    found: set[str] = set()
    while kind not in found:
        assert select.select([heard], [], [], DEADLINE_S)[0], f"{kind} was not heard, but {found}"
        new = heard.heard()
        assert new is not None
        found |= new
    return found


VETH = "$(ls /sys/class/net/cbr0/brif | head -1)"


@pytest.mark.parametrize(
    ("kind", "command"),
    [
        ("sysctls", "sysctl -qw net.ipv4.ip_forward=1"),
        ("sysctls", "echo 1 >/proc/sys/net/bridge/bridge-nf-call-iptables"),
        ("sysctls", "sysctl -qw net.ipv4.conf.cbr0.rp_filter=0"),
        ("rules", "iptables -A FORWARD -j ACCEPT"),
        ("rules", "iptables -t nat -F KUBE-POSTROUTING"),
        ("rules", "nft add table inet own"),
        # Of these the kernel tells nobody, and to look which tables there are is root's alone.
        *([("rules", "iptables-legacy -A FORWARD -j ACCEPT")] if os.geteuid() == 0 else []),
        ("links", "ip link set cbr0 promisc on"),
        ("links", f"bridge link set dev {VETH} hairpin off"),
        ("links", "ip route add 203.0.113.0/24 dev cbr0"),
        ("links", "ip rule add pref 7 table 7"),
        ("links", "ip addr add 203.0.113.1/32 dev lo"),
        ("links", "ip neigh replace 203.0.113.2 lladdr 02:00:00:00:00:01 dev cbr0 nud permanent"),
    ],
)
def test_a_change_by_hand_is_heard(clusterip: Invoke, heard: Changes, kind: str, command: str) -> None:
    done = clusterip("lab.exec", "node-1", command)
    assert done.returncode == 0, done.stderr
    until(heard, kind)


def test_a_flow_that_is_deleted_by_hand_is_heard(clusterip: Invoke, heard: Changes) -> None:
    clusterip("lab.curl", "client-a", "svc/web")
    assert "flow entries have been deleted" in clusterip("lab.exec", "node-1", "conntrack -D -p tcp").stderr
    until(heard, "flows")


@pytest.mark.parametrize(
    "command",
    ["iptables-save", "sysctl -a", "ip -d link", "conntrack -L", "curl -s -m 1 http://web/", "nft list ruleset"],
)
def test_who_looks_or_asks_is_not_heard(clusterip: Invoke, heard: Changes, command: str) -> None:
    """The last change is a known one: what comes before it would have been heard before it."""
    heard.heard()
    clusterip("lab.exec", "node-1", f"{command} >/dev/null 2>&1")
    clusterip("lab.exec", "node-1", "sysctl -qw net.ipv4.ip_forward=1")
    assert until(heard, "sysctls") - {"links"} == {"sysctls"}  # new links tell of themselves for a while


def test_the_state_is_the_same_when_the_rules_were_written_anew_and_another_when_they_differ(
    clusterip: Invoke, heard: Changes
) -> None:
    clusterip("lab.sync")
    before = heard.state()
    clusterip("lab.curl", "client-a", "svc/web")
    clusterip("lab.sync")
    assert heard.state() == before
    clusterip("lab.exec", "node-1", "iptables -I FORWARD -s 203.0.113.9 -j DROP")
    assert heard.state() != before


def test_the_end_of_the_lab_is_heard(invoke: Invoke) -> None:
    invoke("lab.up", "clusterip")
    with Changes(session.attach("clusterip")) as changes:
        invoke("lab.down")
        while select.select([changes], [], [], DEADLINE_S)[0]:
            if changes.heard() is None:
                return
    pytest.fail("it was not heard")
