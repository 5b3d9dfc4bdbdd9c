"""Rules saved on a real node are read word for word, and what is not known stays what it is."""

from __future__ import annotations

import json
from fractions import Fraction
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.errors import LabError
from lab.model.netfilter import (
    Chance,
    Decide,
    Dnat,
    Mark,
    Masked,
    Masquerade,
    Match,
    Note,
    Range,
    Reject,
    Remember,
    Remembered,
    Statement,
    Table,
    Unknown,
    Verdict,
)
from lab.parse import nft_json, saved_rules
from lab.parse.iptables_rule import statements
from lab.parse.iptables_words import quoted, words
from lab.parse.nft_expr import statements as expressions

CASES = Path(__file__).parent / "golden" / "kube-proxy"
DUMPS = sorted(file for pattern in ("ip*-save.txt", "nft.json", "nft.txt") for file in CASES.glob(f"*/{pattern}"))


def read(file: Path) -> tuple[Table, ...]:
    return saved_rules.read(file.read_text(), file.name)[0]


def rules_of(tables: tuple[Table, ...]) -> list[Statement]:
    return [
        one for table in tables for chain in table.chains.values() for rule in chain.rules for one in rule.statements
    ]


# --- real dumps ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", DUMPS, ids=lambda file: f"{file.parent.name}-{file.name}")
def test_everything_that_kube_proxy_writes_is_known(file: Path) -> None:
    found = rules_of(read(file))
    assert [one for one in found if isinstance(one, Unknown)] == []
    assert len(found) > 20


@pytest.mark.parametrize("case", sorted(CASES.iterdir()), ids=lambda case: case.name)
def test_nft_means_the_same_in_text_and_in_json_and_its_rules_read_the_same(case: Path) -> None:
    from_json, from_text = read(case / "nft.json"), read(case / "nft.txt")
    assert [table.containers for table in from_json] == [table.containers for table in from_text]
    for one, other in zip(from_json, from_text, strict=True):
        assert one.chains.keys() == other.chains.keys()
        for name, chain in one.chains.items():
            twin = other.chains[name]
            assert (chain.hook, chain.priority, chain.nat, chain.policy) == (
                twin.hook,
                twin.priority,
                twin.nat,
                twin.policy,
            )
            assert [(rule.text, rule.statements) for rule in chain.rules] == [
                (rule.text, rule.statements) for rule in twin.rules
            ]


@pytest.mark.parametrize("case", sorted(CASES.iterdir()), ids=lambda case: case.name)
def test_the_texts_of_nft_rules_are_nfts_own(case: Path) -> None:
    listed = {line.strip() for line in (case / "nft.txt").read_text().splitlines()}
    for table in read(case / "nft.json"):
        for chain in table.chains.values():
            assert {rule.text for rule in chain.rules} <= listed


def test_families_places_and_hooks_of_a_dump() -> None:
    tables = {(one.family, one.name): one for one in read(CASES / "dual-stack" / "ip6tables-save.txt")}
    assert tables.keys() == {("ip6", "mangle"), ("ip6", "filter"), ("ip6", "nat")}
    out = tables["ip6", "nat"].chains["POSTROUTING"]
    assert (out.hook, out.priority, out.nat) == ("POSTROUTING", 100, True)
    first = tables["ip6", "filter"].chains["INPUT"].rules[0]
    lines = (CASES / "dual-stack" / "ip6tables-save.txt").read_text().splitlines()
    assert lines[int(first.place.rpartition(":")[2]) - 1] == f"-A INPUT {first.text}"


def test_counters_are_kept() -> None:
    tables, _ = saved_rules.read("*nat\n[3:180] -A OUTPUT -d 10.0.0.1/32 -j ACCEPT\nCOMMIT\n", "a")
    (rule,) = tables[0].chains["OUTPUT"].rules
    assert (rule.packets, rule.octets, rule.place) == (3, 180, "a:2")


def test_outputs_of_both_families_may_follow_one_another() -> None:
    text = "".join((CASES / "dual-stack" / name).read_text() for name in ("iptables-save.txt", "ip6tables-save.txt"))
    tables, _ = saved_rules.read(text, "both")
    assert [one.family for one in tables] == ["ip"] * 3 + ["ip6"] * 3


def test_a_hint_at_legacy_tables_is_passed_on() -> None:
    text = "# Warning: iptables-legacy tables present, use iptables-legacy-save to see them\n*nat\nCOMMIT\n"
    assert "iptables-legacy-save" in saved_rules.read(text, "a")[1][0]


def test_where_iptables_save_is_given_nfts_view_of_the_same_tables_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("*nat\n-A OUTPUT -d 10.0.0.1/32 -j ACCEPT\nCOMMIT\n")
    (tmp_path / "b").write_text("table ip nat {\n}\ntable ip kube-proxy {\n}\n")
    tables, _ = saved_rules.load([str(tmp_path / "a"), str(tmp_path / "b")])
    assert [(one.name, one.iptables) for one in tables] == [("nat", True), ("kube-proxy", False)]


# --- single rules ----------------------------------------------------------------------------------------------------


def meaning(rule: str) -> list[Statement]:
    return [one for one in statements(words(rule), {"CHAIN"}) if not isinstance(one, Note)]


MEANINGS: list[tuple[str, Statement]] = [
    ("! -s 10.0.0.0/8", Match("! -s 10.0.0.0/8", "source", (ip_network("10.0.0.0/8"),), negated=True)),
    ("-i veth+", Match("-i veth+", "in-interface", ("veth*",))),
    ("-p ipv6-icmp", Match("-p ipv6-icmp", "protocol", ("icmpv6",))),
    ("-m tcp --dport 80:90", Match("--dport 80:90", "destination port", (Range(80, 90),))),
    (
        "-m mark ! --mark 0x4000/0x4000",
        Match("! --mark 0x4000/0x4000", "mark", (Masked(0x4000, 0x4000),), negated=True),
    ),
    ("-m physdev ! --physdev-is-in", Match("! --physdev-is-in", "bridge port", ("yes",), negated=True)),
    ("-m addrtype --src-type LOCAL", Match("--src-type LOCAL", "source type", ("local",))),
    (
        "-m statistic --mode random --probability 0.33333333349",
        Chance("-m statistic --mode random --probability 0.33333333349", Fraction(715827883, 1 << 31)),
    ),
    (
        "-m recent --rcheck --seconds 10800 --reap --name A --mask 255.255.255.255 --rsource",
        Remembered("-m recent --rcheck --seconds 10800 --reap --name A --mask 255.255.255.255 --rsource", "A"),
    ),
    ("-m recent --set --name A --rsource", Remember("-m recent --set --name A --rsource", "A")),
    ("-j MARK --set-xmark 0x4000/0x0", Mark("-j MARK --set-xmark 0x4000/0x0", 0xFFFF_FFFF, 0x4000)),
    ("-j MARK --set-xmark 0x4000/0x4000", Mark("-j MARK --set-xmark 0x4000/0x4000", 0xFFFF_BFFF, 0x4000)),
    (
        "-j DNAT --to-destination [fd00::1]:80",
        Dnat("-j DNAT --to-destination [fd00::1]:80", {0: (ip_address("fd00::1"), 80)}),
    ),
    ("-j MASQUERADE --random-fully", Masquerade("-j MASQUERADE --random-fully")),
    (
        "-j REJECT --reject-with icmp6-port-unreachable",
        Reject("-j REJECT --reject-with icmp6-port-unreachable", "port-unreachable"),
    ),
    ("-j CHAIN", Decide("-j CHAIN", Verdict("jump", "CHAIN"))),
    ("-g CHAIN", Decide("-g CHAIN", Verdict("goto", "CHAIN"))),
    ("-m set --match-set a src", Unknown("-m set --match-set a src", match=True, fixed=True)),
    ("-m limit --limit 3/min", Unknown("-m limit --limit 3/min", match=True)),
    ("-m tcp --tcp-flags SYN,RST SYN", Match("--tcp-flags SYN,RST SYN", "tcp flags", (Masked(2, 6),))),
    ("-m tcp --tcp-option 2", Unknown("--tcp-option 2", match=True, fixed=True)),
    ("-m addrtype --dst-type BROADCAST", Unknown("-m addrtype --dst-type BROADCAST", match=True, fixed=True)),
    (
        "-m addrtype --dst-type LOCAL --limit-iface-in",
        Unknown("-m addrtype --dst-type LOCAL --limit-iface-in", match=True, fixed=True),
    ),
    ("-s 10.0.0.1/255.0.0.255", Unknown("-s 10.0.0.1/255.0.0.255", match=True, fixed=True)),
    (
        "-j CONNMARK --save-mark --nfmask 0xff --ctmask 0xf0",
        Mark("-j CONNMARK --save-mark --nfmask 0xff --ctmask 0xf0", 0xFFFF_FF0F, 0, of="ct mark", mix=0xFF),
    ),
    ("-j SNAT --to-source 10.0.0.1:1-9", Unknown("-j SNAT --to-source 10.0.0.1:1-9", match=False)),
    ("-j SNAT --to-source 10.0.0.1", Masquerade("-j SNAT --to-source 10.0.0.1", ip_address("10.0.0.1"))),
    ("-j CT --notrack", Unknown("-j CT --notrack", match=False)),
    ("-m statistic --mode nth --every 3", Unknown("-m statistic --mode nth --every 3", match=True)),
    ("-j DNAT --to-destination 10.0.0.1-10.0.0.9", Unknown("-j DNAT --to-destination 10.0.0.1-10.0.0.9", match=False)),
    ("-j ELSEWHERE", Unknown("-j ELSEWHERE", match=False)),
    ("--new-option x", Unknown("--new-option x", match=True)),
]


@pytest.mark.parametrize(("rule", "expected"), MEANINGS, ids=[rule for rule, _ in MEANINGS])
def test_a_match_or_target_means_what_iptables_means(rule: str, expected: Statement) -> None:
    assert meaning(rule) == [expected]


@given(st.text(st.characters(exclude_characters="\n\r\0", codec="utf-8"), min_size=1))
def test_a_comment_comes_back_as_it_was_whatever_it_says(comment: str) -> None:
    rule = f"-m comment --comment {quoted(comment)} -j ACCEPT"
    if quoted(comment) == comment or '"' in quoted(comment):
        assert statements(words(rule), ())[0] == Note(comment, comment=True)
        assert len(statements(words(rule), ())) == 2


def test_a_comment_that_looks_like_options_is_a_comment() -> None:
    found = statements(words('-m comment --comment "-j DROP -s 1.2.3.4" -j ACCEPT'), ())
    assert found == (Note("-j DROP -s 1.2.3.4", comment=True), Decide("-j ACCEPT", Verdict("accept")))
    assert statements(words("-m comment --comment -j -j ACCEPT"), ())[0] == Note("-j", comment=True)


NFT: list[tuple[str, list[Statement]]] = [
    (
        '{"match": {"op": "==", "left": {"meta": {"key": "skuid"}}, "right": 0}}',
        [Unknown("meta skuid 0", match=True, fixed=True)],
    ),
    (
        '{"match": {"op": "<", "left": {"payload": {"protocol": "th", "field": "dport"}}, "right": 9}}',
        [Unknown("th dport < 9", match=True, fixed=True)],
    ),
    (
        '{"match": {"op": "==", "left": {"payload": {"protocol": "icmp", "field": "type"}}, "right": "echo-request"}}',
        [Match("meta l4proto icmp", "protocol", ("icmp",)), Unknown("icmp type echo-request", match=True, fixed=True)],
    ),
    ('{"limit": {"rate": 5, "per": "second"}}', [Unknown("limit rate 5/second", match=True)]),
    ('{"xt": {"type": "match", "name": "recent"}}', [Unknown('xt match "recent"', match=True)]),
    ('{"xt": {"type": "match", "name": "comment"}}', [Note('xt match "comment"')]),
    ('{"xt": {"type": "target", "name": "CT"}}', [Unknown('xt target "CT"', match=False)]),
    ('{"xt": null}', [Unknown('{"xt": null}', match=False)]),
    ('{"notrack": null}', [Unknown("notrack", match=False)]),
    ('{"log": {"prefix": "a "}}', [Note('log prefix "a "')]),
    ('{"flow": {"op": "add", "flowtable": "@f"}}', [Note('{"flow": {"op": "add", "flowtable": "@f"}}')]),
    (
        '{"mangle": {"key": {"ct": {"key": "mark"}}, "value": {"|": [{"meta": {"key": "mark"}}, 1]}}}',
        [Mark("ct mark set meta mark | 0x00000001", keep=0, flip=1, of="ct mark", mix=0xFFFF_FFFE)],
    ),
    ('{"snat": {"addr": "10.0.0.1"}}', [Masquerade("snat to 10.0.0.1", ip_address("10.0.0.1"))]),
    (
        '{"set": {"op": "add", "elem": {"payload": {"protocol": "ip", "field": "saddr"}}, "set": "@s", "stmt": [1]}}',
        [Unknown("add @s { ip saddr }", match=True)],
    ),
]


@pytest.mark.parametrize(("expression", "meant"), NFT)
def test_an_expression_is_known_or_a_question_or_may_do_anything(expression: str, meant: list[Statement]) -> None:
    assert list(expressions([json.loads(expression)])) == meant


def test_what_follows_something_unknown_in_a_text_rule_belongs_to_it() -> None:
    nft = 'table ip t {\n\tchain c {\n\t\tip saddr 10.0.0.1 synproxy mss 1460 accept comment "x"\n\t}\n}\n'
    (rule,) = saved_rules.read(nft, "a")[0][0].chains["c"].rules
    assert rule.statements[-1] == Unknown('synproxy mss 1460 accept comment "x"', match=False)


def test_what_nft_prints_behind_a_hash_may_decide_and_a_handle_does_not() -> None:
    nft = "table ip t {\n\tchain c {\n\t\taccept # handle 3\n\t\ttcp dport 1 # recent: SET drop\n\t}\n}\n"
    first, second = saved_rules.read(nft, "a")[0][0].chains["c"].rules
    assert [type(one) for one in first.statements] == [Decide]
    assert second.statements[-1] == Unknown("# recent: SET drop", match=False)


NFTS_VIEW = """table ip filter {
	chain FORWARD {
		type filter hook forward priority filter; policy accept;
		counter packets 0 bytes 0 drop
	}
}
"""


def test_nfts_text_of_iptables_nfts_tables_is_refused_for_it_leaves_out_matches() -> None:
    tables, _ = saved_rules.read(NFTS_VIEW, "a")
    with pytest.raises(LabError, match="is iptables-nft's"):
        saved_rules.of_family(tables, "ipv4")
    lower = saved_rules.read(NFTS_VIEW.replace("FORWARD", "forward"), "a")[0]
    assert saved_rules.of_family(lower, "ipv4") == lower


def test_nfts_json_of_iptables_nfts_tables_says_what_it_lacks() -> None:
    rule = (
        '{"rule": {"family": "ip", "table": "t", "chain": "C", "expr": [{"xt": {"type": "match", "name": "recent"}}]}}'
    )
    text = '{"nftables": [{"chain": {"family": "ip", "table": "t", "name": "C"}}, ' + rule + "]}"
    (gap,) = saved_rules.gaps(saved_rules.read(text, "a")[0])
    assert "iptables-save -c" in gap


def test_a_dormant_table_meets_no_packet_and_what_is_not_walked_is_said() -> None:
    nft = """table ip a {
	flags dormant
	chain c {
		type filter hook input priority 0; policy drop;
	}
}
table inet b {
	chain c {
		type filter hook ingress device "eth0" priority 0; policy drop;
	}
}
table bridge c {
}
"""
    tables, notes = saved_rules.read(nft, "a")
    assert [table.name for table in tables] == ["b"]
    assert [word for word in ("dormant", "ingress", "bridge") if any(word in note for note in notes)] == [
        "dormant",
        "ingress",
        "bridge",
    ]


def test_the_elements_of_a_set_that_are_not_known_make_it_unknown() -> None:
    nft = "table ip t {\n\tset s {\n\t\ttype ipv4_addr\n\t\telements = { 10.0.0.1, ( }\n\t}\n}\n"
    assert saved_rules.read(nft, "a")[0][0].containers == {}


def test_tcp_dport_and_ip_saddr_ask_for_their_protocol_too() -> None:
    nft = "table inet t {\n\tchain c {\n\t\ttcp dport { 80, 443 } ip saddr != 10.0.0.0/8 accept\n\t}\n}\n"
    (rule,) = saved_rules.read(nft, "a")[0][0].chains["c"].rules
    assert [one.field for one in rule.statements if isinstance(one, Match)] == [
        "protocol",
        "destination port",
        "family",
        "source",
    ]


def test_every_way_to_change_a_mark_is_keep_and_flip() -> None:
    texts = {
        "meta mark | 0x00000f00": 0x1F34,
        "meta mark & 0x00000f00": 0x0200,
        "meta mark ^ 0x0000ffff": 0xEDCB,
        "0x00000007": 7,
    }
    for text, after in texts.items():
        nft = f"table ip t {{\n\tchain c {{\n\t\tmeta mark set {text}\n\t}}\n}}\n"
        ((mark,),) = (rule.statements for rule in saved_rules.read(nft, "a")[0][0].chains["c"].rules)
        assert isinstance(mark, Mark)
        assert 0x1234 & mark.keep ^ mark.flip == after


# --- garbage ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "a: there are no tables"),
        ("-A FORWARD -j DROP\n", "a:1: '-A FORWARD -j DROP' looks like iptables -S"),
        ("Chain INPUT (policy ACCEPT)\n", "a:1: .* looks like iptables -L"),
        ("nonsense\n*nat\nCOMMIT\n", "a:1: 'nonsense' stands outside of a table"),
        ("*nat\n-A X -j DROP\nCOMMIT\n", "a:2: the chain 'X' is not declared"),
        ("*nat\n-A OUTPUT -s banana -j DROP\nCOMMIT\n", "a:2: .*banana.* is not a rule"),
        ('*nat\n-A OUTPUT -m comment --comment "x -j DROP\nCOMMIT\n', "a:2: .*a quote is opened and not closed"),
        ("*nat\n-A OUTPUT -j\nCOMMIT\n", "a:2: .*nothing stands after -j"),
        ("*nat\nnonsense\nCOMMIT\n", "a:2: 'nonsense' is not understood"),
        ("*nat\n", "a:1: the table nat has no COMMIT"),
        ("*what\nCOMMIT\n", "a:1: 'what' is no table"),
        ('{"nftables": [\n{"table": {"family": "ip"\n', "a:2: this is not JSON"),
        ('{"nftables": [{"table": {"family": "ip"}}]}', "a:1: .* is not understood"),
        ('{"nftables": [3]}', "a:1: 3 is not an object"),
        ('{"other": [3]}', "a:1: this is not what `nft -j list ruleset` prints"),
        ("table ip t {\n\tchain c {\n", "a: a block has no end"),
        ("table ip t {\n\twhat\n}\n", "a:2: 'what' is not understood"),
    ],
)
def test_what_is_no_ruleset_is_refused_with_its_line(text: str, words: str) -> None:
    with pytest.raises(LabError, match=words):
        rules_of(saved_rules.read(text, "a")[0])


def _attempt(text: str) -> None:
    try:
        rules_of(saved_rules.read(text, "a")[0])
    except LabError as error:
        assert error.message.startswith("a:")  # noqa: PT017 - it need not be refused


PIECES = [
    *("*nat", "COMMIT", ":A - [0:0]", "-A A", "-A OUTPUT", "-m", "tcp", "--dport", "1", "-j", "DNAT", "!", '"', "\\"),
    *(
        "-s",
        "--to-destination",
        "1.2.3.4:5",
        "table ip t {",
        "chain c {",
        "}",
        "{",
        "set s {",
        "elements = {",
        ",",
        ":",
    ),
    *("vmap", "ip saddr", "@s", "numgen random mod 2", "map", "dnat to", "meta mark set", "#", "\n", "comment"),
    *("type filter hook input priority 0;", "update"),
]


@given(st.lists(st.sampled_from(PIECES)).map(" ".join) | st.text())
def test_garbage_is_refused_and_never_breaks(text: str) -> None:
    _attempt(text)
    _attempt(f"*nat\n-A OUTPUT {text}\nCOMMIT\n")
    _attempt(f"table ip t {{\n\tchain c {{\n\t\t{text}\n\t}}\n}}\n")


_KEYS = [
    *("match", "op", "==", "left", "right", "payload", "meta", "key", "mark", "vmap", "data", "set", "concat", "elem"),
    *(
        "val",
        "rule",
        "chain",
        "table",
        "family",
        "ip",
        "name",
        "expr",
        "dnat",
        "addr",
        "map",
        "numgen",
        "mod",
        "prefix",
    ),
    *("len", "range", "mangle", "value", "counter", "reject", "jump", "target", "ct", "state", "new", "fib", "&", "|"),
]
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from([*_KEYS, "@s", "10.0.0.1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_KEYS), inner, max_size=3),
)


@given(st.lists(_JSON), _JSON)
def test_json_garbage_is_refused_and_never_breaks(listed: list[object], body: object) -> None:
    _attempt(json.dumps({"nftables": listed}))
    chain = {"chain": {"family": "ip", "table": "t", "name": "c"}}
    rule = {"rule": {"family": "ip", "table": "t", "chain": "c", "expr": [body]}}
    a_set = {"set": {"family": "ip", "table": "t", "name": "s", "type": "ipv4_addr", "elem": [body]}}
    tables, _ = nft_json.read(json.dumps([chain, rule, a_set]), "a")
    assert len(tables[0].chains["c"].rules) == 1
