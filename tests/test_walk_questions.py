"""What is not known of a rule is a question: both of its answers are followed, and named where they matter."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

from hypothesis import example, given
from hypothesis import strategies as st

from lab.parse import saved_rules
from lab.parse.asked import packet_of
from lab.proxy.explain import of_rules
from tests.walking import CLUSTER_IP, ELSEWHERE, HERE, SET, cases, ends, through


def test_both_answers_to_an_unknown_match_are_followed_and_named() -> None:
    found = through(f"-A FORWARD {SET} -j DROP", "-A FORWARD -j ACCEPT")
    assert cases(found) == {f"`{SET}` holds": {"drop": 1}, f"`{SET}` fails": {CLUSTER_IP: 1}}


def test_an_unknown_match_is_harmless_where_nothing_becomes_of_it() -> None:
    found = through(f"-A FORWARD {SET} -j LOG --log-prefix x", f"-A FORWARD {SET}", "-A FORWARD -j DROP")
    assert ends(found) == {"drop": 1}
    assert [step.matched for step in found.ways[0].steps if step.rule] == [None, None, True]


def test_answers_that_come_to_the_same_are_one_way_and_said_to_be_so() -> None:
    found = through(f"-A FORWARD {SET} -j EARLY", "-A FORWARD -j ACCEPT", "-A EARLY -s 10.0.0.0/8 -j DROP")
    assert ends(found) == {CLUSTER_IP: 1}
    assert any(SET in note and "makes no difference" in note for note in found.notes)


def test_an_unknown_match_is_asked_once_of_a_set_and_each_time_of_a_limit() -> None:
    rules = ("-A FORWARD {} -j MARK --set-xmark 0x1/0x1", "-A FORWARD {} -j DROP")
    of_set = through(*(rule.format(SET) for rule in rules))
    assert cases(of_set) == {f"`{SET}` holds": {"drop": 1}, f"`{SET}` fails": {CLUSTER_IP: 1}}
    limit = "-m limit --limit 3/min"
    limited = through(*(rule.format(limit) for rule in rules), "-A FORWARD -m mark --mark 0x1/0x1 -j REJECT")
    assert sorted(end for case in cases(limited).values() for end in case) == [CLUSTER_IP, "drop", "reject"]


def test_what_a_translated_packet_is_asked_is_another_question() -> None:
    text = f"""*nat
-A PREROUTING -p tcp {SET} -j DNAT --to-destination 10.0.0.1:1
-A POSTROUTING {SET} -j MASQUERADE
COMMIT
"""
    found = of_rules(saved_rules.read(text, "a")[0], packet_of(ELSEWHERE, CLUSTER_IP, "tcp"))
    translated = [one for one in found.ways if one.fate.dnat]
    assert {bool(one.fate.masquerade) for one in translated} == {True, False}


QUESTIONS = [f"-m set --match-set s{number} src" for number in range(3)]
RULES = st.lists(
    st.tuples(
        st.sampled_from(["PREROUTING", "FORWARD", "FORWARD", "A", "B"]),
        st.sampled_from([*QUESTIONS, *QUESTIONS, "", "-m mark --mark 0x1/0x1", "-m mark ! --mark 0x2/0x2"]),
        st.sampled_from(
            [
                *("-j DROP", "-j ACCEPT", "-j REJECT", "-j RETURN", "-j A", "-g B", "-j LOG", ""),
                *("-j MARK --set-xmark 0x1/0x1", "-j MARK --set-xmark 0x3/0x0"),
                "-m statistic --mode random --probability 0.25000000000 -j DROP",
            ]
        ),
    ).filter(lambda rule: len(rule[0]) > 1 or rule[2] not in {"-j A", "-g B"}),
    min_size=2,
    max_size=9,
)


@example(
    [
        ("PREROUTING", QUESTIONS[0], "-j MARK --set-xmark 0x1/0x1"),
        ("FORWARD", "-m mark --mark 0x1/0x1", "-j DROP"),
        ("FORWARD", QUESTIONS[1], "-j A"),
        ("A", QUESTIONS[0], "-j REJECT"),
    ]
)
@given(RULES)
def test_whatever_the_answers_are_the_ways_that_fit_them_say_what_becomes_of_the_packet(
    rules: list[tuple[str, str, str]],
) -> None:
    lines = [f"-A {chain} {asked} {deed}" for chain, asked, deed in (*rules, ("A", "", ""), ("B", "", ""))]
    found = through(*lines, table="mangle")
    for answers in product((True, False), repeat=len(QUESTIONS)):
        known = "\n".join(lines)
        for question, holds in zip(QUESTIONS, answers, strict=True):
            known = known.replace(question, f"{'' if holds else '!'} -d 10.96.0.10/32")
        said = {f"`{one}` {'holds' if holds else 'fails'}" for one, holds in zip(QUESTIONS, answers, strict=True)}
        fitting = [one for one in found.ways if {each.text for each in one.assumed} <= said]
        total: dict[str, Fraction] = {}
        for one in fitting:
            total[one.fate.kind] = total.get(one.fate.kind, Fraction(0)) + one.share
        assert total == {
            end.replace(CLUSTER_IP, "accept"): share
            for end, share in ends(through(*known.split("\n"), table="mangle")).items()
        }


def test_more_open_questions_than_can_be_followed_are_unknown_and_the_walk_ends() -> None:
    rules = [f"-A FORWARD -m limit --limit {number}/min -j MARK --set-xmark {1 << number}/0" for number in range(1, 31)]
    found = through(*rules)
    assert "too many open questions" in next(one.fate.detail for one in found.ways if one.fate.kind == "unknown")
    assert len(found.ways) < 1000


def test_a_shadow_of_doubt_stays_on_masquerading_alone() -> None:
    text = f"""*nat
-A PREROUTING -d 10.96.0.10/32 -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.244.1.2:8080
-A POSTROUTING {SET} -m set ! --match-set pods dst -j MASQUERADE --random-fully
COMMIT
"""
    found = of_rules(saved_rules.read(text, "a")[0], packet_of(ELSEWHERE, CLUSTER_IP, "tcp"))
    assert {end for case in cases(found).values() for end in case} == {HERE}
    assert [bool(one.fate.masquerade) for one in found.ways] == [True, False, False]
