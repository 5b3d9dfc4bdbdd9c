from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from lab import judge, shares
from lab.judge import rules
from lab.model.finding import Finding
from lab.model.observation import Observation, Resolved
from lab.model.request import Reply
from lab.parse import iptables_save

from .test_judge import cluster, expect

CLIENT = ip_address("10.244.1.2")
REPLY = Reply(status=200, pod="web-1", local=(CLIENT, 40000), source=(CLIENT, 40000))
RESOLVED = Resolved(endpoints=("web-1", "web-2"))


def only(observation: Observation, **expected: Any) -> Finding:
    (finding,) = judge.judge(expect(**expected), observation, RESOLVED)
    return finding


SVC = "KUBE-SVC-CDGGSHYLG3RE2FKL"

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


def test_rules_of_kube_proxys_chains_are_counted_by_chain_and_target() -> None:
    counted = rules.counts(iptables_save.read(SAVED % 3, "x")[0])
    assert counted == {"KUBE-MARK-MASQ > MARK": 1, f"{SVC} > KUBE-MARK-MASQ": 3, f"{SVC} > none": 0}


def test_rules_of_one_name_count_together() -> None:
    twice = SAVED.replace("COMMIT", f"[5:300] -A {SVC} -m comment --comment other -g KUBE-MARK-MASQ\nCOMMIT")
    assert rules.counts(iptables_save.read(twice % 3, "x")[0])[f"{SVC} > KUBE-MARK-MASQ"] == 8


@pytest.mark.parametrize(
    ("hit", "modes"),
    [
        ([], {"iptables", "nftables"}),
        (["KUBE-SVC > KUBE-SEP"], {"iptables"}),
        (["services > service"], {"nftables"}),
        (["KUBE-SVC > KUBE-SEP", "services > service"], {"iptables", "nftables"}),
    ],
)
def test_rules_of_one_mode_alone_are_expected_in_labs_of_that_mode(hit: list[str], modes: set[str]) -> None:
    now = {"rules": {"node": "node-1", "hit": hit}}
    for wanted in (expect(**now), expect(then=[{"it": "later", **now}])):
        assert {mode for mode in ("iptables", "nftables") if judge.applies(wanted, cluster(mode=mode))} == modes


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
    assert endpoints ** (1 - number) <= shares.LUCK < endpoints ** (2 - number)
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
    assert chance**number <= shares.LUCK < chance ** (number - 1)


def test_who_is_asked_again_and_again_must_be_the_same_each_time() -> None:
    twice = Observation(replies=(REPLY, replace(REPLY, pod="web-2")), askers=("a", "a"))
    assert not again(twice, {"a": "web-1"}, wanted=True)
    assert again(twice, {"a": "web-1"}, wanted=False)


def test_that_one_pod_answers_is_asked_as_often_as_if_there_were_a_second_one() -> None:
    one = expect(answer={"by": "web-1"}, shares="one")
    assert judge.requests_needed(one, Resolved()) == shares.requests_to_stick(2)
