"""What rules did that are not kube-proxy's: each that changed something is told, by the words of its own tool."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lab.journey import assemble, deeds
from lab.journey.hits import hits
from lab.journey.passes import passes
from lab.journey.rules import Book, Found
from lab.journey.sight import is_own
from lab.judge.predicted import predicted
from lab.model.journey import Step
from lab.parse import saved_rules
from lab.report import journey as report
from lab.report import predicted as comparison
from lab.report.journey_sentence import sentence
from tests.recorded import recorded

BASES = {"prerouting": "PREROUTING", "postrouting": "POSTROUTING", "forward": "FORWARD"}


def saved(rule: str, chain: str, table: str) -> Found:
    """Return a rule as iptables-save prints it."""
    text = f"*{table}\n:{chain} ACCEPT [0:0]\n-A {chain} {rule}\nCOMMIT\n"
    return _first(text, chain)


def listed(expression: Any, hook: str = "prerouting", priority: int = -300, kind: str = "filter") -> Found:
    """Return a rule as `nft -j` prints it."""
    chain = {"family": "ip", "table": "x", "name": "c", "type": kind, "hook": hook, "prio": priority}
    rule = {"family": "ip", "table": "x", "chain": "c", "handle": 1, "expr": [expression]}
    held = [{"table": {"family": "ip", "name": "x"}}, {"chain": chain}, {"rule": rule}]
    return _first(json.dumps({"nftables": held}), "c")


def _first(text: str, chain: str) -> Found:
    (table,) = saved_rules.read(text, "rules")[0]
    return Found(table.chains[chain].rules[0], 1, table.chains[chain], table)


def told(found: Found) -> str:
    """Return what is told of a rule, in the words of moments."""
    base = found.chain.name if found.chain else ""
    words = [
        "mark" if deeds.sets_mark(found.rule) else "",
        "dnat" if deeds.translates(found.rule, base) else "",
        deeds.source_change(found.rule, base),
        "untracked" if deeds.untracks(found, base) else "",
        "act" if deeds.acts(found.rule)[0] else "",
    ]
    return " ".join(filter(None, words))


@pytest.mark.parametrize(
    ("rule", "chain", "moment"),
    [
        ("-j REDIRECT --to-ports 9", "PREROUTING", "dnat"),
        ("-j DNAT --to-destination 10.0.0.1-10.0.0.9", "PREROUTING", "dnat"),
        ("-j NETMAP --to 10.0.0.0/8", "PREROUTING", "dnat"),
        ("-j NETMAP --to 10.0.0.0/8", "POSTROUTING", "snat"),
        ("-j SNAT --to-source 1.2.3.4", "POSTROUTING", "snat"),
        ("-j SNAT --to-source 1.2.3.4-1.2.3.9", "POSTROUTING", "snat"),
        ("-j MASQUERADE", "POSTROUTING", "masquerade"),
        ("-j MASQUERADE --to-ports 1024-2048", "POSTROUTING", "masquerade"),
        ("-j NOTRACK", "PREROUTING", "untracked"),
        ("-j CT --notrack", "PREROUTING", "untracked"),
        ("-j CT --zone 3", "PREROUTING", "act"),
        ("-j TPROXY --on-port 9 --on-ip 0.0.0.0 --tproxy-mark 0x0/0x0", "PREROUTING", "act"),
        ("-j TTL --ttl-set 1", "PREROUTING", "act"),
        ("-j TCPMSS --set-mss 900", "FORWARD", "act"),
        ("-j CLASSIFY --set-class 0001:0002", "FORWARD", "act"),
        ("-j CONNMARK --set-xmark 0x3/0xffffffff", "FORWARD", "act"),
        ("-j CONNMARK --restore-mark --nfmask 0xff --ctmask 0xff", "FORWARD", "mark"),
        ("-j MARK --set-xmark 0x3/0x3", "FORWARD", "mark"),
        ("-j HMARK --hmark-src-prefix 32 --hmark-rnd 0x00000003 --hmark-mod 3", "FORWARD", "mark"),
        ("-j SET --add-set seen src", "FORWARD", "act"),
        ("-j TEE --gateway 192.168.0.1", "FORWARD", "act"),
        ("-j NFQUEUE --queue-num 0", "FORWARD", "act"),
        ("-j NOBODYKNOWS --this", "FORWARD", "act"),
        ("-j LOG --log-prefix x", "FORWARD", ""),
        ("-j NFLOG", "FORWARD", ""),
        ("-p tcp -m comment --comment said", "FORWARD", ""),
        ("-m set --match-set seen src -j ACCEPT", "FORWARD", ""),
        ("-j RETURN", "FORWARD", ""),
        ("-j REJECT --reject-with tcp-reset", "FORWARD", ""),
    ],
)
def test_each_target_of_iptables_is_told_by_what_it_does(rule: str, chain: str, moment: str) -> None:
    table = "nat" if moment in ("dnat", "snat", "masquerade") else "raw" if chain == "PREROUTING" else "mangle"
    assert told(saved(rule, chain, table)) == moment


SADDR = {"payload": {"protocol": "ip", "field": "saddr"}}


def set_to(key: Any, value: Any) -> Any:
    return {"mangle": {"key": key, "value": value}}


@pytest.mark.parametrize(
    ("expression", "text", "moment"),
    [
        ({"redirect": {"port": 9}}, "redirect to :9", "dnat"),
        ({"redirect": None}, "redirect", "dnat"),
        ({"dnat": {"addr": {"range": ["10.1.1.1", "10.1.1.4"]}}}, "dnat to 10.1.1.1-10.1.1.4", "dnat"),
        (
            {"dnat": {"addr": {"map": {"key": SADDR, "data": {"set": [["10.0.0.1", "10.1.1.1"]]}}}}},
            "dnat to ip saddr map { 10.0.0.1 : 10.1.1.1 }",
            "dnat",
        ),
        ({"dnat": {"addr": "10.1.1.1", "port": {"range": [80, 90]}}}, "dnat to 10.1.1.1:80-90", "dnat"),
        ({"snat": {"addr": "1.2.3.4", "port": 5}}, "snat to 1.2.3.4:5", "snat"),
        (
            {"snat": {"addr": {"map": {"key": SADDR, "data": {"set": [["10.0.0.1", "1.2.3.4"]]}}}}},
            "snat to ip saddr map { 10.0.0.1 : 1.2.3.4 }",
            "snat",
        ),
        ({"masquerade": {"flags": "persistent"}}, "masquerade persistent", "masquerade"),
        ({"masquerade": {"port": {"range": [1024, 2048]}}}, "masquerade to :1024-2048", "masquerade"),
        ({"notrack": None}, "notrack", "untracked"),
        ({"tproxy": {"port": 9}}, "tproxy to :9", "act"),
        ({"queue": {"num": 3, "flags": "bypass"}}, "queue num 3 bypass", "act"),
        ({"dup": {"addr": "192.168.0.1"}}, "dup to 192.168.0.1", "act"),
        ({"reset": {"tcp option": {"name": "sack-perm"}}}, "reset tcp option sack-perm", "act"),
        (set_to({"ct": {"key": "mark"}}, 4), "ct mark set 4", "act"),
        (set_to({"ct": {"key": "zone"}}, 4), "ct zone set 4", "act"),
        (set_to({"meta": {"key": "priority"}}, "1:2"), "meta priority set 1:2", "act"),
        (set_to({"payload": {"protocol": "ip", "field": "ttl"}}, 1), "ip ttl set 1", "act"),
        (set_to({"tcp option": {"name": "maxseg", "field": "size"}}, 900), "tcp option maxseg size set 900", "act"),
        (set_to({"meta": {"key": "mark"}}, {"map": {"key": SADDR, "data": {"set": [["10.0.0.1", 3]]}}}), "", "mark"),
        (set_to({"meta": {"key": "nftrace"}}, 1), "meta nftrace set 1", ""),
        ({"xt": {"type": "target", "name": "REDIRECT"}}, 'xt target "REDIRECT"', "dnat"),
        ({"xt": {"type": "target", "name": "LOG"}}, 'xt target "LOG"', ""),
        ({"log": {"prefix": "x"}}, 'log prefix "x"', ""),
        ({"counter": {"packets": 1, "bytes": 2}}, "counter packets 1 bytes 2", ""),
        ({"accept": None}, "accept", ""),
    ],
)
def test_each_word_of_nft_is_told_by_what_it_does(expression: Any, text: str, moment: str) -> None:
    found = listed(expression)
    assert told(found) == moment
    assert found.rule is not None
    assert found.rule.text == text or not text


@pytest.mark.parametrize(("priority", "moment"), [(-300, "untracked"), (-200, ""), (0, "")])
def test_behind_conntracks_turn_it_is_too_late_to_leave_a_packet_untracked(priority: int, moment: str) -> None:
    assert told(listed({"notrack": None}, priority=priority)) == moment


def with_moment(name: str, moment: str) -> Step:
    return next(step for step in assemble(recorded(name)).steps if moment in step.moments)


@pytest.mark.parametrize(
    ("name", "rule"),
    [("fault-redirect-iptables-nft", "-p tcp -j REDIRECT --to-ports 9"), ("fault-redirect-nft", "redirect to :9")],
)
def test_a_rule_that_redirects_is_the_one_that_rewrote_the_destination(name: str, rule: str) -> None:
    step = with_moment(name, "dnat")
    assert (step.kind, step.observed, step.verdict, step.after.dport) == ("rule", True, "accept", 9)
    journey = assemble(recorded(name))
    assert rule in report.text(journey)
    assert "by an entry of conntrack" not in sentence(journey)


def test_what_is_left_untracked_says_so_and_why_no_rule_translated_it() -> None:
    journey = assemble(recorded("fault-notrack"))
    step = with_moment("fault-notrack", "untracked")
    assert (step.node, step.table, step.number, step.matters) == ("node-1", "raw", 1, True)
    why = "node-1 left it untracked (rule 1 of raw PREROUTING), so no nat rule was asked; router has the route"
    assert journey.legs[0].end.why.startswith(why)
    assert sentence(journey).count("untracked") == 1
    shown = report.text(journey)
    assert "● untracked      no nat rule is asked" in shown
    assert "PREROUTING           in by cbr0\n" in shown  # no rule of it has merely passed


def test_whom_nobody_translates_is_called_by_its_service_all_the_same() -> None:
    journey = assemble(recorded("fault-notrack"))
    assert journey.service == "default/web:http"
    assert report.text(journey).startswith("client-a asks svc/web (default/web:http) by tcp;")
    assert sentence(journey).startswith("client-a asked web; ")


def test_a_source_that_a_rule_says_is_no_masquerade() -> None:
    journey = assemble(recorded("snat-and-more"))
    assert "masquerade" not in journey.moments
    step = with_moment("snat-and-more", "snat")
    assert step.rule is not None
    assert step.rule.text == "-j SNAT --to-source 192.168.0.10"
    assert "masquerade" not in sentence(journey)
    assert "rewrote the source" in sentence(journey)
    assert "● SNAT           node-1 192.168.0.10:" in report.text(journey)


def test_a_rule_that_changes_or_keeps_anything_is_shown_and_one_that_logs_is_not() -> None:
    shown = report.text(assemble(recorded("snat-and-more")))
    assert "-j TCPMSS --set-mss 900\n│      ● acted on       the segment size that it offers is set" in shown
    assert "-m recent --set" in shown
    assert "-j LOG" not in shown
    assert "-j LOG" in report.text(assemble(recorded("snat-and-more")), every=True)


def test_a_program_that_did_not_give_a_packet_back_is_why_it_was_lost() -> None:
    end = assemble(recorded("fault-queue")).legs[0].end
    why = "rule 1 of filter FORWARD handed it to a program, which did not give it back"
    assert (end.kind, end.node, end.why, end.observed) == ("lost", "node-1", why, False)


@pytest.mark.parametrize(
    ("name", "deed"),
    [
        ("fault-redirect-iptables-nft", "dnat"),
        ("fault-redirect-nft", "dnat"),
        ("fault-notrack", "untracked"),
        ("snat-and-more", "dnat, act, snat"),
        ("fault-queue", "dnat, act"),
    ],
)
def test_a_watch_tells_of_the_same_rules(name: str, deed: str) -> None:
    evidence = recorded(name)
    book = Book(evidence.listings)
    runs = next(iter(passes(evidence.events, book).values()))["node-1"]
    events = [event for one in runs for event in one.events if not is_own(event)]
    found = hits(events, book, "node-1", 0)
    assert found is not None
    assert ", ".join(dict.fromkeys(one.deed for one in found.hits)) == deed


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("fault-notrack", "`-j NOTRACK` (rule 1 of raw PREROUTING)"),
        ("fault-redirect-iptables-nft", "`-j REDIRECT --to-ports 9` (rule 1 of nat PREROUTING)"),
        ("fault-redirect-nft", "`redirect to :9` (rule 1 of ip x c)"),
        ("fault-queue", "`-j NFQUEUE --queue-num 0` (rule 1 of filter FORWARD)"),
    ],
)
def test_behind_a_rule_that_the_walk_does_not_know_nothing_is_compared(name: str, rule: str) -> None:
    evidence = recorded(name)
    found = predicted(assemble(evidence), evidence)
    (visit,) = found.visits
    assert found.agrees
    assert f"node-1: the walk does not know {rule}: nothing is compared behind it" in found.notes
    assert visit.pairs[-1].observed is not None
    assert f"`{visit.pairs[-1].observed.rule.text}`".endswith(rule.partition(" (")[0][1:])  # type: ignore[union-attr] # it has
    shown = comparison.text(found)
    assert "not expected" not in shown
    assert "✗" not in shown
