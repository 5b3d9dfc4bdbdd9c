"""How journeys are told; every story is its golden byte by byte: `python -m tests.test_report_journey` writes them."""

from __future__ import annotations

import json
import re
from dataclasses import fields, is_dataclass, replace
from fractions import Fraction
from ipaddress import IPv4Address, ip_address
from pathlib import Path
from typing import Any

import msgspec
import pytest

from lab.journey import assemble
from lab.model.journey import End, Journey, Leg
from lab.model.request import Reply
from lab.report import journey_document, journey_json
from lab.report.journey import text
from lab.report.journey_sentence import outcome, sentence
from lab.report.table import Look
from tests import journeys
from tests.recorded import recorded

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "golden" / "journey"
SCHEMA = ROOT / "lab" / "schema" / journey_json.FILE
EVERY = {name: make() for name, make in journeys.EVERY.items()}
SGR = re.compile(r"\x1b\[\d*m")
LEGEND = "~ is inferred from what was observed"


def six(part: Any) -> Any:
    """Return a journey, or a part of one, with IPv6 addresses in place of the others."""
    if isinstance(part, IPv4Address):
        return ip_address("fd00:{}:{}:{}::{}".format(*part.packed))
    if is_dataclass(part) and not isinstance(part, type):
        return replace(part, **{one.name: six(getattr(part, one.name)) for one in fields(part)})
    if isinstance(part, tuple):
        return tuple(map(six, part))
    return {six(key): value for key, value in part.items()} if isinstance(part, dict) else part


CASES = {
    **{f"{name}.txt": (journey, {}, Look()) for name, journey in EVERY.items()},
    "hairpin-all.txt": (EVERY["hairpin"], {"every": True}, Look()),
    "nodeport-80.txt": (EVERY["nodeport"], {}, Look(width=80)),
    "nodeport-ipv6-80.txt": (six(EVERY["nodeport"]), {}, Look(width=80)),
    "clusterip-no-reply.txt": (EVERY["clusterip"].one_way(), {}, Look()),
    "port-changed.txt": (assemble(recorded("port-changed")), {}, Look()),
    "reject-ascii.txt": (EVERY["reject"], {}, Look(unicode=False)),
}


def told(name: str) -> str:
    journey, options, look = CASES[name]
    return text(journey, look, **options) + "\n"


@pytest.mark.parametrize("name", CASES)
def test_a_story_is_byte_for_byte_its_golden(name: str) -> None:
    assert told(name) == (GOLDEN / name).read_text(encoding="utf-8")


def test_every_golden_has_its_case() -> None:
    assert {path.name for path in GOLDEN.iterdir()} == set(CASES)


def test_of_a_packet_that_goes_round_in_circles_two_rounds_are_told_and_all_of_them_if_all_is_wanted() -> None:
    journey = EVERY["in-circles"]
    short, long = text(journey), text(journey, every=True)
    assert "\n├─ ... 28 more rounds between router and node-1, TTL 60 -> 4\n└─ ~✗ lost on node-1: " in short
    assert [story.count("├─ node-1\n") for story in (short, long)] == [2, 30]
    assert " more rounds" not in long
    assert "; router and node-1 sent it to each other 30 times; " in " ".join(short.split())


# --- how it looks ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("every", [False, True])
@pytest.mark.parametrize("width", [100, 80])
@pytest.mark.parametrize("name", EVERY)
def test_a_story_fits_its_width_with_addresses_of_either_family(name: str, width: int, *, every: bool) -> None:
    for journey in (EVERY[name], six(EVERY[name])):
        lines = text(journey, Look(width=width), every=every).split("\n")
        assert max(map(len, lines)) <= width
        assert all(line == line.rstrip() for line in lines)


@pytest.mark.parametrize("width", [1, 30, 61, 1000])
def test_any_width_of_terminal_will_do(width: int) -> None:
    for journey in EVERY.values():
        shown = text(journey, Look(width=width)).split()
        assert set(sentence(journey).split()) <= set(shown)


@pytest.mark.parametrize("width", [100, 70])
@pytest.mark.parametrize("name", EVERY)
def test_colours_change_nothing_but_the_colour(name: str, width: int) -> None:
    painted = text(EVERY[name], Look(colour=True, width=width))
    assert SGR.sub("", painted) == text(EVERY[name], Look(width=width))
    assert SGR.search(painted)


@pytest.mark.parametrize("name", EVERY)
def test_a_terminal_without_box_drawing_gets_plain_letters(name: str) -> None:
    assert text(EVERY[name], Look(unicode=False)).isascii()


def test_what_a_packet_looks_like_stands_in_the_same_columns_all_the_way() -> None:
    request = text(EVERY["hairpin"]).partition("\n\nREPLY")[0]
    seen = [line for line in request.split("\n") if re.search(r"(eth0|veth-web-1) (in|out) |● (DNAT|masq)", line)]
    assert {line.index("-> ") for line in seen if "-> " in line} == {seen[0].index("-> ")}
    dnat, masquerade = (next(line for line in seen if word in line) for word in ("DNAT", "masqueraded"))
    assert dnat.split("DNAT")[1].split() == ["->", "web-1", "10.244.1.2:8080"]  # the end that changed, and no other
    assert masquerade.split("masqueraded")[1].split() == ["node-1/cbr0", "10.244.1.1:7483"]
    assert masquerade.index("node-1/cbr0") == seen[0].index("web-1 ")


def test_an_end_that_changed_is_bold_where_it_is_next_seen() -> None:
    painted = text(EVERY["clusterip"], Look(colour=True))
    assert "-> \x1b[1mweb-2 10.244.2.2:8080\x1b[0m" in painted
    assert "\x1b[1mclient-a 10.244.1.3:37924" not in painted  # the source stays


def test_chains_are_told_as_a_way_into_them_and_back() -> None:
    shown = text(EVERY["nodeport"])
    ways = re.findall(r"^│    (?:nat: )?((?:[<>] )?[A-Z-]+[\w-]* ?(?:> .*)?)$", shown, re.MULTILINE)
    assert ways[:6] == [
        "PREROUTING > KUBE-SERVICES",
        "> KUBE-NODEPORTS",
        "> KUBE-EXT-CDGGSHYLG3RE2FKL > KUBE-MARK-MASQ",
        "< KUBE-EXT-CDGGSHYLG3RE2FKL > KUBE-SVC-CDGGSHYLG3RE2FKL",
        "> KUBE-SEP-4EX2N4PG4ASNZOBF",
        "POSTROUTING > KUBE-POSTROUTING",
    ]


def test_rules_that_let_a_packet_pass_are_counted_and_all_shows_each_as_it_is_written() -> None:
    journey = EVERY["clusterip"]
    short, long = text(journey), " ".join(text(journey, every=True).replace("│", " ").split())
    rules = [step for step in journey.steps if step.rule]
    passed = [step for step in rules if not step.matters]
    assert sum(int(count) for count in re.findall(r"\((\d+) rules? passed\)", short)) == len(passed) > 0
    assert "passed)" not in long
    for step in rules:
        assert step.rule
        assert f"rule {step.number}, handle {step.handle}: {' '.join(step.rule.text.split())}" in long
    assert "node-1/cbr0" not in short
    assert "cbr0 in " in long


def test_hooks_in_which_nothing_happened_are_one_line() -> None:
    assert "PREROUTING > FORWARD > POSTROUTING  in by cbr0, out by eth0\n" in text(EVERY["clusterip"])


def test_without_reply_only_the_requests_way_is_told() -> None:
    whole, request = text(EVERY["clusterip"]), text(EVERY["clusterip"].one_way())
    assert "\nREPLY  tcp [S.]\n" in whole
    assert "REPLY" not in request.partition("CONNTRACK")[0]
    assert request.split("\n\n")[-1] == whole.split("\n\n")[-1]


def test_an_error_without_a_word_of_its_own_is_told_in_those_of_the_system() -> None:
    journey = replace(EVERY["drop"], reply=Reply(error="eaddrnotavail", latency_s=0.0004))
    *_, got, story = text(journey, Look(width=1000)).split("\n\n")
    assert got == "client-a got no answer: Cannot assign requested address (EADDRNOTAVAIL) after 0.4 ms"
    assert story.endswith("; client-a was told: Cannot assign requested address (EADDRNOTAVAIL) after 0.4 ms.")
    odd = replace(journey, reply=Reply(error="errno-999", latency_s=0.0004))
    assert "got no answer: errno-999 after" in text(odd)


def test_what_is_inferred_is_marked_and_the_mark_is_explained_once() -> None:
    for journey in EVERY.values():
        shown = text(journey, every=True)
        whys = {leg.end.why for leg in journey.legs}
        inferred = sum(not step.observed and step.text not in whys for step in journey.steps)
        ends = sum(not leg.end.observed for leg in journey.legs)
        marked = re.findall(r"^(?:│~|└─ ~)", shown, re.MULTILINE)
        assert len(marked) == inferred + ends
        assert shown.count(LEGEND) == bool(marked)


def test_a_mark_is_shown_where_a_packet_has_it() -> None:
    shown = text(EVERY["hairpin"])
    assert re.search(r"FORWARD +in by cbr0, out by cbr0, mark 0x4000 ", shown)
    assert "mark 0x0" not in shown


def test_a_packet_that_was_sent_again_says_so() -> None:
    assert "REQUEST  tcp [S], sent 2 times: this is the first\n" in text(EVERY["drop"])


def test_a_rule_that_ends_a_packet_says_what_its_author_said() -> None:
    assert "-p tcp -m tcp --dport 8080 -j DROP\n│      # no web today\n│      ✗ dropped\n" in text(EVERY["drop"])


def test_text_from_outside_cannot_leave_its_line_or_paint_the_terminal() -> None:
    def said(by: str) -> Journey:
        journey = EVERY["drop"]
        steps = []
        for step in journey.legs[0].steps:
            rule = replace(step.rule, text=by, comment=by) if step.rule else None
            names: dict[str, Any] = {
                name: by for name in ("interface", "chain", "text", "table") if getattr(step, name)
            }
            steps.append(replace(step, rule=rule, **names))
        end = End(kind="dropped", node="node-1", why=by)
        leg = replace(journey.legs[0], steps=tuple(steps), packet=by, end=end)
        return replace(journey, legs=(leg,), reply=replace(journey.reply, error=by), notes=(by,))

    for every in (False, True):
        shown = text(said("a\x1b[31m\r\nb"), every=every)
        assert shown == text(said("a?[31m b"), every=every)
        assert "\x1b" not in shown


def _told(journey: Journey, kind: str, **changed: Any) -> str:
    """Return the story with the first step of a kind changed."""
    first = next(step for step in journey.steps if step.kind == kind)
    legs = [
        replace(leg, steps=tuple(replace(step, **changed) if step is first else step for step in leg.steps))
        for leg in journey.legs
    ]
    return text(replace(journey, legs=tuple(legs)))


def test_a_tunnelled_packet_says_what_carries_it() -> None:
    carrier = "in vxlan vni 1, 192.168.0.10 -> 192.168.0.11"
    assert f"-> svc/web 10.96.0.10:80\n│    ({carrier})\n" in _told(WEB, "tap", text=carrier)


def test_a_bridge_says_between_which_ports() -> None:
    assert re.search(r"^│  bridge +from veth-client-a to veth-web-1: cbr0 forwards the frame$",
        _told(DIRECT, "bridge", matters=True, text="cbr0 forwards the frame"), re.MULTILINE)  # fmt: skip


def test_a_choice_by_affinity_says_so_in_place_of_the_odds() -> None:
    shown = text(_by_affinity(WEB, None, "by affinity: it chose it before"))
    assert re.search(r"● chosen +web-2, by affinity: it chose it before$", shown, re.MULTILINE)


def test_a_table_of_nftables_is_named_with_its_family() -> None:
    assert "\n│    ip kube-proxy: PREROUTING\n" in _told(WEB, "rule", table="kube-proxy")
    assert "\n│    nat: PREROUTING > KUBE-SERVICES\n" in text(WEB)


def test_a_rule_that_the_listing_lacks_is_told_all_the_same() -> None:
    assert "the rule is not in the listing" in _told(WEB, "rule", rule=None, text="the rule is not in the listing")


def test_a_reason_that_the_end_gives_is_not_given_twice() -> None:
    told = " ".join(text(EVERY["hairpin-off"]).partition("~ is inferred")[0].split())
    assert told.count("hairpin is off") == 1


def test_entries_that_translate_are_shown_and_the_others_are_named() -> None:
    shown = text(EVERY["clusterip"])
    assert "\nnode-1: 1 flow\n" in shown
    assert "\nnode-2: 1 flow\n" not in shown
    assert "\n(node-2 has it as it came: no translation)\n" in shown
    assert "\nnode-2: 1 flow\n" in text(EVERY["clusterip"], every=True)
    assert "\nnode-1: 1 flow\n" in text(EVERY["untouched"])


# --- the sentence ----------------------------------------------------------------------------------------------------

DIRECT = EVERY["untouched"]
WEB = EVERY["clusterip"]
SENTENCES = {
    "clusterip": "client-a asked web; node-1 chose web-2 on node-2 (1 of 2), rewrote the destination, did not"
    " masquerade; the reply was translated back by the same entry.",
    "hairpin": "web-1 asked web; node-1 chose web-1 on node-1 (the only one), rewrote the destination, masqueraded,"
    " sent it back to where it came from; the reply was translated back by the same entry.",
    "hairpin-off": "web-1 asked web; node-1 chose web-1 (the only one), rewrote the destination, masqueraded and"
    " probably lost it: the bridge cbr0 does not send a frame back out of veth-web-1, which it came in by: hairpin is"
    " off; web-1 gave up after 1.5 s.",
    "nodeport": "client asked node-1:30080; node-1 chose web-2 on node-2 (1 of 2), rewrote the destination,"
    " masqueraded; the reply was translated back by the same entry.",
    "reject": "client-a asked web; node-1 refused it: rule 1 of filter KUBE-SERVICES refuses it (default/web:http has"
    " no endpoints); client-a was refused after 0.4 ms.",
    "drop": "client-a asked web; node-1 chose web-2 (1 of 2), rewrote the destination and dropped it: rule 5 of"
    " filter FORWARD drops it (no web today); client-a gave up after 1.5 s.",
    "policy": "client-a asked web; node-1 chose web-2 (1 of 2), rewrote the destination and dropped it: the policy"
    " of filter FORWARD is drop; client-a gave up after 1.5 s.",
    "lost": "client-a asked web-2:8080; node-1 probably lost it: no route to 10.244.2.2: IpInAddrErrors rose by 2;"
    " client-a gave up after 1.5 s.",
    "unknown": "client-a asked web-2:8080; it is not known what became of it on node-1: last seen behind PREROUTING;"
    " client-a gave up after 1.5 s.",
    "untranslated": "client-a asked web; node-1 chose web-1 on node-1 (1 of 2), rewrote the destination, did not"
    " masquerade; client-a refused the reply: it came back untranslated: client-a asked 10.96.0.10:80, and knows"
    " nothing of 10.244.1.2:8080; client-a gave up after 1.5 s.",
    "in-circles": "client asked node-1:81; router and node-1 sent it to each other 30 times; node-1 probably lost it:"
    " its TTL was used up; client was told that there is no way after 3.4 ms.",
    "untouched": "client-a asked web-1:5353 by UDP; no rule translated it; the reply came back as it was sent.",
}


@pytest.mark.parametrize("name", EVERY)
def test_a_journey_is_one_sentence(name: str) -> None:
    assert sentence(EVERY[name]) == SENTENCES[name]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("fault-no-rules", "client-a asked web:80; no rule translated it; router probably lost it: router has"),
        ("udp-old-entry", "node-1 rewrote the destination (by an entry of conntrack: no rule was seen to), did not"),
        ("fault-neigh-pod", "client-a asked 10.244.1.99:80; no packet was sent: nobody answered who has 10.244.1.99;"),
        ("fault-no-way-back", "; probably no packet was sent: web-2 has the route 'blackhole default' for 10.244.1.3,"),
        ("fault-hairpin-no-masquerade", "sent it back to where it came from; web-1 itself probably lost it: it came"),
    ],
)
def test_a_sentence_says_what_no_rule_did_and_who_sent_nothing(name: str, said: str) -> None:
    assert said in sentence(assemble(recorded(name)))


def test_who_refuses_by_itself_is_said_to_have_no_listener() -> None:
    refused = _with_reply(WEB, error="refused", status=0)
    back = replace(WEB.legs[1], packet="tcp [R.]")
    assert "; web-2 refused it: nobody listens on port 8080; the refusal was translated back" in sentence(
        replace(refused, legs=(WEB.legs[0], back))
    )


def test_a_connection_that_was_made_and_not_used_is_told_apart_from_one_that_was_not() -> None:
    silent = sentence(_with_reply(WEB, error="timeout", status=0))
    assert "; the connection was made, and no answer came by it; client-a gave up after" in silent


def _with_reply(journey: Journey, **changed: Any) -> Journey:
    return replace(journey, reply=replace(journey.reply, **changed))


def _on_node_1(leg: Leg) -> Leg:
    """Return the leg as if the node itself were the asker."""
    return replace(leg, steps=tuple(step for step in leg.steps if step.node != "client-a"))


def _by_affinity(journey: Journey, share: Fraction | None, why: str = "") -> Journey:
    legs = [
        replace(leg, steps=tuple(replace(step, share=share, text=why) if step.share else step for step in leg.steps))
        for leg in journey.legs
    ]
    return replace(journey, legs=tuple(legs))


LATER = Leg(
    role="data",
    packet="tcp [P.] 1460 bytes",
    steps=(),
    end=End(kind="lost", node="node-1", why="longer than the MTU of eth0", observed=False),
)


@pytest.mark.parametrize(
    ("journey", "expected"),
    [
        (
            replace(WEB, asker="node-1", legs=tuple(map(_on_node_1, WEB.legs))),
            "node-1 asked web; it chose web-2 on node-2 (1 of 2), rewrote the destination, did not masquerade; the rep",
        ),
        (_by_affinity(WEB, None), "chose web-2 on node-2, rewrote"),
        (_by_affinity(WEB, None, "by affinity: a recent request chose it"), "chose web-2 on node-2 (by affinity), "),
        (_by_affinity(WEB, Fraction(2, 3)), "chose web-2 on node-2 (2/3), rewrote"),
        (_by_affinity(WEB, Fraction(0x2AAAAAAA, 1 << 31)), "(1 of 3)"),  # as xt_statistic holds a third
        (replace(WEB, protocol="udp"), "client-a asked web by UDP; node-1 chose"),
        (replace(DIRECT, goal="10.244.1.2"), "client-a asked 10.244.1.2:5353 by UDP; "),
        (
            _with_reply(replace(DIRECT, legs=DIRECT.legs[:1]), error="timeout", latency_s=2.0),
            "no rule translated it; web-1 sent nothing back that was seen; client-a gave up after 2.0 s.",
        ),
        (replace(DIRECT, legs=DIRECT.legs[:1]), "no rule translated it; web-1 answered."),
        (
            replace(DIRECT, legs=()),
            "client-a asked web-1:5353 by UDP; nothing of the request was seen; web-1 answered.",
        ),
        (
            _with_reply(WEB, error="refused", latency_s=0.001),
            "did not masquerade; the refusal was translated back by the same entry; client-a was refused after 1.0 ms.",
        ),
        (
            _with_reply(replace(WEB, legs=(*WEB.legs, LATER)), error="timeout", latency_s=2.0),
            "; a later packet (tcp [P.] 1460 bytes) was lost on node-1: longer than the MTU of eth0; client-a gave up",
        ),
        (_with_reply(EVERY["reject"], error="unreachable"), "; client-a was told that there is no way after 0.4 ms."),
        (_with_reply(EVERY["reject"], error="eacces"), "; client-a was told: Permission denied (EACCES) after 0.4 ms."),
    ],
)
def test_a_sentence_reads_well_whatever_happened(journey: Journey, expected: str) -> None:
    assert expected in sentence(journey)


def test_the_outcome_says_what_the_asker_got() -> None:
    assert outcome(WEB) == "client-a got 200 from web-2 on node-2, which saw client-a 10.244.1.3:37924, after 1.1 ms"
    assert outcome(EVERY["drop"]) == "client-a got no answer: timeout after 1.5 s"
    assert outcome(DIRECT).startswith("client-a got an answer from web-1 on node-1, which saw ")


# --- JSON ------------------------------------------------------------------------------------------------------------


def test_the_published_schema_is_the_one_that_the_classes_make() -> None:
    assert SCHEMA.read_text(encoding="utf-8") == journey_json.schema_text()


@pytest.mark.parametrize("name", EVERY)
def test_data_is_of_the_published_shape_and_has_all_that_the_journey_has(name: str) -> None:
    journey = EVERY[name]
    data = json.loads(json.dumps(journey_json.data(journey)))
    read = msgspec.convert(data, journey_document.Journey)
    assert read == journey_json.document(journey)
    assert (data["apiVersion"], data["kind"]) == ("hairpin/v1alpha1", "Journey")
    steps = [step for leg in data["legs"] for step in leg["steps"]]
    assert [step["moments"] for step in steps] == [list(step.moments) for step in journey.steps]
    assert [step["rule"] for step in steps] == [step.rule.text if step.rule else None for step in journey.steps]
    assert [step["time_ns"] for step in steps] == [step.time_ns for step in journey.steps]
    assert [step["observed"] for step in steps] == [step.observed for step in journey.steps]


def test_data_names_who_chose_what_and_how_likely_that_was() -> None:
    steps = [step for leg in journey_json.data(WEB)["legs"] for step in leg["steps"]]
    choice, dnat = (next(step for step in steps if word in step["moments"]) for word in ("choose", "dnat"))
    assert (choice["endpoint"], choice["probability"], choice["share"]) == ("web-2", 0.5, "1/2")
    assert (choice["service"], choice["chain"], choice["handle"]) == ("default/web:http", journeys.SVC, 23)
    assert (dnat["before"]["dst_name"], dnat["after"]["dst_name"]) == ("svc/web", "web-2")


def test_a_field_that_the_schema_does_not_know_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="unknown field `more`"):
        msgspec.convert({**journey_json.data(WEB), "more": 1}, journey_document.Journey)


def test_every_part_of_the_schema_is_referred_to_described_and_closed() -> None:
    schema = journey_json.schema()
    names = {piece.partition('"')[0] for piece in json.dumps(schema).split('"#/$defs/')[1:]}
    assert names == schema["$defs"].keys()
    for part in schema["$defs"].values():
        assert part["description"]
        assert part["additionalProperties"] is False
        assert set(part["required"]) == part["properties"].keys()


def test_the_reference_names_every_field() -> None:
    document = (ROOT / "docs" / "trace.md").read_text(encoding="utf-8").partition("## `--json`")[2]
    named = set(re.findall(r"\w+", " ".join(re.findall(r"`([^`]+)`", document))))
    parts = journey_json.schema()["$defs"].values()
    assert not {name for part in parts for name in part["properties"]} - named


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for case in CASES:
        (GOLDEN / case).write_text(told(case), encoding="utf-8")
