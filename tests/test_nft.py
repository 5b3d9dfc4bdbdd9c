"""A table that is too large for one transaction is cut so that no packet meets half of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from lab.kernel import nft
from lab.model.nft_ruleset import Element, Hook, NftChain, NftRuleset, NftSet

SIZES = st.integers(1, 3000)


def table(services: int, endpoints: int) -> str:
    names = [f"service-{number}" for number in range(services)]
    sets = (
        NftSet("cluster-ips", "ipv4_addr", "ours", tuple(Element(f"10.96.0.{n}") for n in range(services))),
        NftSet("empty", "ipv4_addr"),
        NftSet(
            "service-ips",
            "ipv4_addr",
            "theirs",
            tuple(Element(f"10.96.0.{n}", f"goto {name}", "x/y") for n, name in enumerate(names)),
            kind="map",
        ),
        *(
            NftSet(f"affinity-{n}-{each}", "ipv4_addr", timeout_s=9)
            for n in range(services)
            for each in range(endpoints)
        ),
    )
    ends = [(n, f"endpoint-{n}-{each}") for n in range(services) for each in range(endpoints)]
    chains = (
        NftChain("nat-output", ("jump services",), hook=Hook("nat", "output", -100)),
        NftChain("nat-prerouting", ("jump services",), hook=Hook("nat", "prerouting", -100)),
        NftChain("services", ("ip daddr vmap @service-ips",), comment="type of traffic"),
        *(NftChain(name, ("dnat to 10.0.0.1",)) for _, name in ends),
        *(NftChain(name, tuple(f"goto {end}" for at, end in ends if at == n)) for n, name in enumerate(names)),
    )
    return NftRuleset("ipv4", sets, chains, "whole").restore_text()


@dataclass
class Held:
    """What a kernel would hold: the lines of each block, and each set's elements."""

    blocks: dict[str, list[str]] = field(default_factory=dict)
    elements: list[tuple[str, str]] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)


def load(held: Held, text: str) -> None:
    """Load one text, as far as its lines tell."""
    opening, *lines, closing = text.splitlines()
    assert (opening, closing) == ("table ip kube-proxy {", "}")
    name, within = "", False
    for line in lines:
        if line.startswith("\tcomment "):
            held.blocks["table"] = [line]
        elif line.startswith("\t\t\t"):
            assert within
            held.elements.append((name, line.strip().rstrip(",")))
        elif line.startswith("\t\t"):
            within = line == "\t\telements = {"
            if not within and line != "\t\t}" and line not in held.blocks[name]:
                held.blocks[name].append(line)
        elif line != "\t}":
            name = line.split()[1]
            if line.startswith("\tchain ") and name in held.blocks:
                held.twice.append(name)
            held.blocks.setdefault(name, [])


def loaded(texts: Iterator[str]) -> Held:
    held = Held()
    for text in texts:
        load(held, text)
    return held


@given(services=st.integers(0, 5), endpoints=st.integers(0, 4), size=SIZES)
def test_the_parts_together_are_the_whole(services: int, endpoints: int, size: int) -> None:
    text = table(services, endpoints)
    whole, pieces = loaded(iter([text])), loaded(nft.parts(text, size=size))
    assert pieces.blocks == whole.blocks
    assert pieces.elements == whole.elements
    assert all(len("\n".join(whole.blocks[name])) > size - 100 for name in pieces.twice)  # where there is no other way


@given(services=st.integers(1, 5), endpoints=st.integers(0, 4), size=SIZES)
def test_nothing_leads_to_what_is_not_whole_yet_and_the_hooks_come_last(
    services: int, endpoints: int, size: int
) -> None:
    held, whole = Held(), loaded(iter([table(services, endpoints)]))
    for piece in nft.parts(table(services, endpoints), size=size):
        assert "nat-output" not in held.blocks
        load(held, piece)
        words = " ".join(line for lines in held.blocks.values() for line in lines if not line.startswith("\t\tcomm"))
        words += "".join(f" {element}" for _, element in held.elements)
        named = [after.split()[0] for after in words.replace("goto ", "@").replace("jump ", "@").split("@")[1:]]
        assert {name: held.blocks.get(name) for name in named} == {name: whole.blocks[name] for name in named}
    assert {"nat-output", "nat-prerouting"} <= set(held.blocks)


@given(services=st.integers(1, 5), endpoints=st.integers(0, 4), size=SIZES, smaller=SIZES)
def test_a_part_can_be_cut_again(services: int, endpoints: int, size: int, smaller: int) -> None:
    text = table(services, endpoints)
    again = (piece for part in nft.parts(text, size=size) for piece in nft.parts(part, size=smaller))
    whole, pieces = loaded(iter([text])), loaded(again)
    assert pieces.blocks == whole.blocks
    assert pieces.elements == whole.elements


def test_half_the_size_makes_smaller_parts_until_nothing_can_be_cut() -> None:
    text = table(40, 2)
    while len(longest := max(nft.parts(text, size=len(text) // 2), key=len)) < len(text):
        text = longest
    assert len(text) < 400


def test_a_chain_is_cut_only_if_it_alone_is_too_long() -> None:
    rules = tuple(f"ip saddr 10.0.0.{number} drop" for number in range(9))
    text = NftRuleset("ipv4", (), (NftChain("long", rules), NftChain("short", rules[:2]))).restore_text()
    assert len(list(nft.parts(text, size=300))) == 2
    pieces = list(nft.parts(text, size=100))
    assert len(pieces) > 2
    assert sum("chain short {" in piece for piece in pieces) == 1
    assert [line.strip() for piece in pieces for line in piece.splitlines() if "saddr" in line] == [*rules, *rules[:2]]


COMMANDS = """\
add chain ip kube-proxy b
flush chain ip kube-proxy a
add rule ip kube-proxy a goto b
add rule ip kube-proxy a drop
delete element ip kube-proxy map { 1 }
add element ip kube-proxy map { 1 : goto a }
delete element ip kube-proxy map { 2 }
flush chain ip kube-proxy c
delete chain ip kube-proxy c
"""


def test_commands_are_cut_but_a_chain_is_never_left_empty_nor_an_element_missing() -> None:
    parts = list(nft.command_parts(COMMANDS, size=1))
    assert "".join(parts) == COMMANDS
    assert [len(part.splitlines()) for part in parts] == [1, 3, 2, 1, 2]
    assert list(nft.command_parts(COMMANDS, size=10_000)) == [COMMANDS]


REMADE = """\
add rule ip kube-proxy other drop
flush chain ip kube-proxy a
flush chain ip kube-proxy b
delete set ip kube-proxy clients
add set ip kube-proxy clients { type ipv4_addr; }
add rule ip kube-proxy a update @clients { ip saddr }
add rule ip kube-proxy b goto a
insert rule ip kube-proxy b ip saddr @clients goto a
insert rule ip kube-proxy b ip saddr @clients goto c
delete chain ip kube-proxy d
delete set ip kube-proxy old
"""


def test_a_set_is_made_anew_together_with_its_chains_and_what_is_inserted_may_come_later() -> None:
    parts = list(nft.command_parts(REMADE, size=1))
    assert "".join(parts) == REMADE
    assert [len(part.splitlines()) for part in parts] == [1, 6, 1, 1, 1, 1]


def test_each_kind_of_text_is_cut_in_its_own_way() -> None:
    again = "add table ip kube-proxy\ndelete table ip kube-proxy\n"
    text = table(2, 2)
    assert list(nft.cut(text, size=300)) == list(nft.parts(text, size=300))
    assert list(nft.cut(COMMANDS, size=10)) == list(nft.command_parts(COMMANDS, size=10))
    assert list(nft.cut(again + text, size=300)) == [again, *nft.parts(text, size=300)]


def test_commands_are_told_from_a_table() -> None:
    assert nft.is_commands(COMMANDS)
    assert not nft.is_commands("table ip kube-proxy {\n}\n")
