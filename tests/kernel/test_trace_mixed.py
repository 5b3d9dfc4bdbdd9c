"""Rules of several tools in one machine, as it happens on real nodes: all are traced, and each is told by its tool."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import partial

import pytest

from lab.errors import KernelError
from lab.journey import assemble
from lab.judge.predicted import predicted
from lab.kernel import command
from lab.model.journey import Journey, Step
from lab.model.trace import OWN_TABLE, Evidence
from lab.packets import trace
from lab.standing import session

from .conftest import Invoke
from .test_trace import TOOLS
from .test_watch import lines, watching

Lab = Callable[..., Invoke]
IS_ROOT = os.geteuid() == 0
"""Only root is told which tables iptables-legacy has; others' nodes are listened to all the same, not so their pods."""


def inside(netns: str, *lines: str) -> None:
    for line in lines:
        session.attach().call(partial(command.check, tuple(line.split()), netns=netns))


def traced(source: str = "client-a", to: str = "svc/web", *, whole: bool = True) -> tuple[Evidence, Journey]:
    found = trace.trace(session.attach(), source, to, timeout_s=0.3, whole=whole)
    return found, assemble(found)


def rules_at(journey: Journey, hook: str, node: str = "node-1") -> list[Step]:
    leg = journey.legs[0]
    return [one for one in leg.steps if one.hook == hook and one.node == node and one.kind in ("rule", "verdict")]


@pytest.mark.parametrize("name", ["iptables-nft", "nft"])
def test_a_policy_of_iptables_legacy_beside_a_lab_s_other_rules_is_named_and_foreseen(lab: Lab, name: str) -> None:
    lab("clusterip", *TOOLS[name])
    inside("node-1", "iptables-legacy -P FORWARD DROP")
    found, journey = traced()
    end = journey.legs[0].end
    assert (end.kind, end.node, end.why) == (
        "dropped",
        "node-1",
        "the policy of iptables-legacy's filter FORWARD is drop",
    )
    assert {one.tool for one in found.listings if one.netns == "node-1"} == {name, "iptables-legacy"}
    assert all(one.steady for one in found.listings)
    assert rules_at(journey, "FORWARD")[-1].tool == "iptables-legacy"
    assert predicted(journey, found).agrees


@pytest.mark.parametrize("name", ["iptables-nft", "iptables-legacy"])
def test_rules_of_both_iptables_are_told_in_the_order_in_which_the_packet_met_them(lab: Lab, name: str) -> None:
    lab("clusterip", *TOOLS[name])
    other = "iptables-legacy" if name == "iptables-nft" else "iptables-nft"
    inside(
        "node-1",
        f"{other} -t raw -A PREROUTING -p tcp -j MARK --set-mark 0x10",
        f"{other} -t mangle -A FORWARD -m mark --mark 0x10 -j MARK --set-mark 0x20",
        f"{other} -A FORWARD -m mark --mark 0x20 -j DROP",
    )
    found, journey = traced()
    theirs = [
        (one.hook, one.table, one.mark_before, one.mark_after, one.verdict)
        for one in journey.legs[0].steps
        if one.tool == other and one.kind == "rule"
    ]
    assert theirs == [
        ("PREROUTING", "raw", 0, 0x10, "continue"),
        ("FORWARD", "mangle", 0x10, 0x20, "continue"),
        ("FORWARD", "filter", 0x20, 0x20, "drop"),
    ]
    tools = [one.tool for one in rules_at(journey, "PREROUTING") if one.kind == "rule"]
    assert tools[0] == other  # raw comes before nat
    assert set(tools[1:]) == {name}
    assert journey.legs[0].end.why == f"rule 1 of {other}'s filter FORWARD drops it"
    compared = predicted(journey, found)
    assert compared.agrees
    assert not [note for note in compared.notes if "known" in note] or not IS_ROOT


def test_a_pod_s_rules_of_iptables_legacy_are_traced(lab: Lab) -> None:
    lab("clusterip")
    inside("client-a", "iptables-legacy -A OUTPUT -p tcp --dport 80 -j DROP")
    found, journey = traced()
    assert found.reply.error == "timeout"
    seen = [(one.table, one.chain) for one in found.events if one.netns == "client-a"]
    end = journey.legs[0].end
    if IS_ROOT:
        why = "rule 1 of iptables-legacy's filter OUTPUT drops it"
        assert (end.kind, end.node, end.why) == ("dropped", "client-a", why)
        assert seen[:2] == [(OWN_TABLE, "output-first"), ("filter", "OUTPUT")]
    else:
        assert (end.kind, end.node, seen) == ("unknown", "client-a", [])


@pytest.mark.parametrize("name", TOOLS)
def test_tables_that_stayed_silent_are_listed_if_all_are_wanted(lab: Lab, name: str) -> None:
    lab("clusterip", *TOOLS[name])
    table = (
        "add table ip quiet; add chain ip quiet in { type filter hook input priority 7; }; add rule ip quiet in drop"
    )
    session.attach().call(partial(command.check, ("nft", table), netns="node-1"))
    for whole in (False, True):
        found, journey = traced(whole=whole)
        listed = [one for one in found.listings if one.netns == "node-1" and '"quiet"' in one.text]
        assert bool(listed) == whole
        assert found.whole == (frozenset({"node-1", *({"node-2"} if visits(found, "node-2") else ())} if whole else ()))
        assert predicted(journey, found).agrees


def visits(found: Evidence, node: str) -> bool:
    return any(one.netns == node for one in found.events)


def test_a_watch_tells_of_rules_of_iptables_legacy_beside_others(lab: Lab) -> None:
    invoke = lab("clusterip", *TOOLS["iptables-nft"])
    inside("node-1", "iptables-legacy -P FORWARD DROP")
    with watching("--node", "node-1") as watch:
        invoke("lab.curl", "client-a", "svc/web", "--timeout", "0.3")
        assert lines(watch, lambda line: " DROP " in line)[-1].endswith("; iptables-legacy's FORWARD: drop\n")


def test_a_trace_beside_a_watch_says_that_it_does_not_hear_rules_of_iptables_legacy(lab: Lab) -> None:
    lab("clusterip", *TOOLS["iptables-nft"])
    inside("node-1", "iptables-legacy -P FORWARD DROP")
    with watching("--node", "node-1"):
        if IS_ROOT:  # who knows that there are such rules is refused
            with pytest.raises(KernelError, match="listening to iptables-legacy's TRACE"):
                traced()
            return
        found, journey = traced()
    unheard = "rules of iptables-legacy, if there are any, could not be listened to"
    end = journey.legs[0].end
    assert (end.kind, end.node, end.observed) == ("unknown", "node-1", False)
    assert end.why == f"last seen in FORWARD of node-1; {unheard} there"
    assert journey.notes == (f"{unheard} on node-1: the kernel tells one lab.trace or lab.watch alone",)
    assert found.unheard == {"node-1"}
    assert "node-1" not in found.whole


def test_a_watch_beside_another_says_that_it_does_not_hear_rules_of_iptables_legacy(lab: Lab) -> None:
    lab("clusterip", *TOOLS["iptables-nft"])
    with watching("--node", "node-1"), watching("--json") as second:
        if IS_ROOT:  # who knows that there are none says nothing
            inside("node-2", "ping -c 1 192.168.0.10")
        told = json.loads(lines(second, lambda _: True)[0])
    assert (told["type"], told.get("what")) == (("new", None) if IS_ROOT else ("lost", "iptables-legacy"))
    assert told["node"] == "node-1" or IS_ROOT
    assert told.get("number") is None
