from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from lab import judge, shares
from lab.judge import rules
from lab.model.finding import Finding
from lab.model.flow import Flow, Tuple
from lab.model.lab import MarkHook
from lab.model.observation import MarkSeen, Observation, Resolved
from lab.model.request import Reply
from lab.parse import iptables_save

from .test_judge import cluster, expect

CLIENT, WEB, VIP = ip_address("10.244.1.2"), ip_address("10.244.2.2"), ip_address("10.96.0.10")
NODE = ip_address("192.168.0.10")
REPLY = Reply(status=200, pod="web-1", local=(CLIENT, 40000), source=(CLIENT, 40000))
RESOLVED = Resolved(endpoints=("web-1", "web-2"))


def only(observation: Observation, **expected: Any) -> Finding:  # noqa: ANN401 - fields as in YAML
    (finding,) = judge.judge(expect(**expected), observation, RESOLVED)
    return finding


def seen(mark: int, *, node: str = "node-1", at: MarkHook = "postrouting", port: int = 40000) -> MarkSeen:
    return MarkSeen(node=node, at=at, source=(CLIENT, port), mark=mark)


def marked(*marks: MarkSeen, is_: int = 0x4000) -> Finding:
    return only(Observation(replies=(REPLY,), marks=marks), mark={"node": "node-1", "is": is_})


def test_a_mark_holds_when_the_packet_had_it_and_no_other_at_that_hook_of_that_node() -> None:
    finding = marked(seen(0x4000))
    assert (finding.what, finding.expected, finding.observed) == ("mark at postrouting on node-1", "0x4000", "0x4000")
    assert finding.holds
    assert marked(seen(0), is_=0).holds
    assert not marked(seen(0)).holds
    assert not marked(seen(0x4000), seen(0)).holds


@pytest.mark.parametrize("other", [{"node": "node-2"}, {"at": "forward"}, {"port": 40001}])
def test_a_mark_elsewhere_or_of_another_packet_is_none_of_this_one(other: dict[str, Any]) -> None:
    finding = marked(seen(0x4000, **other))
    assert (finding.holds, finding.observed) == (False, "the packet was not seen there")


def test_a_packet_is_known_on_a_node_by_the_source_that_it_came_there_with() -> None:
    arrived = Tuple(src=NODE, sport=1234, dst=WEB, dport=8080)
    flow = Flow(node="node-2", protocol="tcp", original=arrived, reply=arrived.inverse, status=frozenset())
    there = MarkSeen(node="node-2", at="forward", source=(NODE, 1234), mark=7)
    observation = Observation(replies=(REPLY,), flows=(flow,), marks=(there,))
    assert only(observation, mark={"node": "node-2", "at": "forward", "is": 7}).holds


def hit(*counted: str, expected: tuple[str, ...]) -> Finding:
    observation = Observation(replies=(REPLY,), hits={"node-1": counted})
    return only(observation, rules={"node": "node-1", "hit": expected})


SVC, SEP = "KUBE-SVC-CDGGSHYLG3RE2FKL", "KUBE-SEP-UIQK3OSOSTRHRPBX"


@pytest.mark.parametrize("text", [f"{SVC} > {SEP}", "KUBE-SVC > KUBE-SEP", f"KUBE-SVC > {SEP}"])
def test_a_rule_may_be_named_with_its_hashes_or_without(text: str) -> None:
    assert hit(f"{SVC} > {SEP}", expected=(text,)).holds


@pytest.mark.parametrize(
    ("counted", "expected"),
    [
        ((f"{SVC} > {SEP}",), ("KUBE-SVC > KUBE-SEP", "KUBE-SEP > DNAT")),
        ((f"{SVC} > {SEP}", f"{SEP} > DNAT"), ("KUBE-SVC > KUBE-SEP",)),
        ((f"{SVC} > {SEP}",), ("KUBE-SVC > KUBE-MARK-MASQ",)),
        ((f"{SVC} > {SEP}",), ("KUBE-SVC-AAAAAAAAAAAAAAAA > KUBE-SEP",)),
        ((), ("KUBE-SVC > KUBE-SEP",)),
    ],
)
def test_exactly_the_named_rules_must_have_counted(counted: tuple[str, ...], expected: tuple[str, ...]) -> None:
    finding = hit(*counted, expected=expected)
    assert not finding.holds
    assert finding.expected == ", ".join(expected)


def test_what_counted_is_shown_without_hashes() -> None:
    assert hit(f"{SVC} > {SEP}", f"{SEP} > DNAT", expected=()).observed == "KUBE-SVC > KUBE-SEP, KUBE-SEP > DNAT"


SAVED = f"""*nat
:PREROUTING ACCEPT [0:0]
:KUBE-MARK-MASQ - [0:0]
:{SVC} - [0:0]
[9:9] -A PREROUTING -j KUBE-MARK-MASQ
[1:60] -A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
[%d:60] -A {SVC} -m comment --comment "a > b -j c" -g KUBE-MARK-MASQ
[0:0] -A {SVC} -m comment --comment "no target"
COMMIT
"""


def test_rules_of_kube_proxys_chains_count_when_their_packets_rise() -> None:
    before, after = (rules.counts(iptables_save.read(SAVED % number, "x")[0]) for number in (3, 4))
    assert before == {"KUBE-MARK-MASQ > MARK": 1, f"{SVC} > KUBE-MARK-MASQ": 3, f"{SVC} > none": 0}
    assert rules.risen(before, after) == (f"{SVC} > KUBE-MARK-MASQ",)
    assert rules.risen(before, before) == ()
    del before[f"{SVC} > KUBE-MARK-MASQ"]  # somebody has put it there meanwhile
    assert rules.risen(before, after) == (f"{SVC} > KUBE-MARK-MASQ",)


def test_rules_of_one_name_count_together() -> None:
    twice = SAVED.replace("COMMIT", f"[5:300] -A {SVC} -m comment --comment other -g KUBE-MARK-MASQ\nCOMMIT")
    assert rules.counts(iptables_save.read(twice % 3, "x")[0])[f"{SVC} > KUBE-MARK-MASQ"] == 8


def test_rules_are_expected_where_rules_count() -> None:
    wanted = expect(rules={"node": "node-1", "hit": []})
    assert judge.applies(wanted, cluster())
    assert not judge.applies(wanted, cluster(mode="nftables"))
    later = expect(then=[{"it": "later", "rules": {"node": "node-1", "hit": []}}])
    assert not judge.applies(later, cluster(mode="nftables"))


def test_a_status_is_compared_beside_the_answer() -> None:
    found = judge.judge(
        expect(answer={"status": 503}), Observation(replies=(replace(REPLY, status=503, pod=""),)), RESOLVED
    )
    assert [(one.what, one.holds) for one in found] == [("answer", True), ("status", True)]
    (_, wrong) = judge.judge(expect(answer={"status": 503}), Observation(replies=(REPLY,)), RESOLVED)
    assert (wrong.holds, wrong.observed) == (False, "200")


def asked(**pods: str) -> Observation:
    """Return what came of requests of several askers; a pod "" did not answer."""
    replies = tuple(replace(REPLY, pod=pod, error="" if pod else "timeout") for pod in pods.values())
    return Observation(replies=replies, askers=tuple(pods))


def again(now: Observation, before: dict[str, str], *, wanted: bool) -> bool:
    found = judge.judge(expect(answer={"again": wanted}), replace(now, before=before), RESOLVED)
    return next(one.holds for one in found if one.what == "again")


def test_askers_come_back_to_the_same_pod_or_are_dealt_anew() -> None:
    before = judge.answered_by(asked(a="web-1", b="web-2"))
    assert again(asked(a="web-1", b="web-2"), before, wanted=True)
    assert not again(asked(a="web-1", b="web-1"), before, wanted=True)
    assert again(asked(a="web-1", b="web-1"), before, wanted=False)
    assert not again(asked(a="web-1", b="web-2"), before, wanted=False)


def test_silence_is_neither_the_same_pod_nor_another() -> None:
    assert not again(asked(a=""), {"a": ""}, wanted=True)
    assert not again(asked(a=""), {"a": "web-1"}, wanted=False)


def test_one_pod_gives_all_answers_of_each_asker() -> None:
    two = Observation(replies=(REPLY,) * 4, askers=("a", "a", "b", "b"))
    other = replace(REPLY, pod="web-2")
    assert only(two, shares="one").holds
    assert only(replace(two, replies=(REPLY, REPLY, other, other)), shares="one").holds
    mixed = only(replace(two, replies=(REPLY, REPLY, REPLY, other)), shares="one")
    assert (mixed.holds, mixed.expected, mixed.observed) == (False, "all 2 by one pod", "web-1 1 and web-2 1")
    silent = replace(REPLY, pod="", error="timeout")
    assert not only(replace(two, replies=(silent,) * 4), shares="one").holds


@pytest.mark.parametrize("endpoints", [2, 3, 4, 16, 100])
def test_enough_requests_are_made_to_see_that_they_do_not_stick(endpoints: int) -> None:
    number = shares.requests_to_stick(endpoints)
    assert endpoints ** (1 - number) <= shares.FALSE_ALARM < endpoints ** (2 - number)
    assert judge.requests_needed(expect(shares="one"), Resolved(endpoints=("x",) * endpoints)) == number


def test_what_a_fair_choice_may_lead_to_as_well_is_asked_as_often_as_rules_that_out() -> None:
    some = expect(answer={"by": "web-1"})
    assert judge.requests_needed(some, RESOLVED) == shares.requests_to_rule_out(1 / 2) == 20
    assert judge.requests_needed(some, RESOLVED, askers=3) == 7
    assert judge.requests_needed(expect(answer={"by": ["web-2", "web-1"]}), RESOLVED) == 1
    assert judge.requests_needed(some, Resolved(endpoints=("web-1",))) == 1
    assert judge.requests_needed(expect(answer={"by": "web-9"}), RESOLVED) == 1
    assert judge.requests_needed(expect(answer={"again": True}), RESOLVED) == 20
    assert judge.requests_needed(expect(answer={"again": True}), RESOLVED, askers=24) == 1
    assert judge.requests_needed(expect(answer={"again": True, "by": "web-1"}), Resolved(endpoints=("web-1",))) == 1


@pytest.mark.parametrize("chance", [1 / 2, 2 / 3, 0.03])
def test_luck_is_ruled_out_when_it_would_take_one_in_a_million(chance: float) -> None:
    number = shares.requests_to_rule_out(chance)
    assert chance**number <= shares.FALSE_ALARM < chance ** (number - 1)


def test_who_is_asked_again_and_again_must_be_the_same_each_time() -> None:
    twice = Observation(replies=(REPLY, replace(REPLY, pod="web-2")), askers=("a", "a"))
    assert not again(twice, {"a": "web-1"}, wanted=True)
    assert again(twice, {"a": "web-1"}, wanted=False)


def test_that_one_pod_answers_is_asked_as_often_as_if_there_were_a_second_one() -> None:
    one = expect(answer={"by": "web-1"}, shares="one")
    assert judge.requests_needed(one, Resolved()) == shares.requests_to_stick(2)
