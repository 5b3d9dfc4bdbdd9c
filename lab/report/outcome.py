"""What becomes of a packet in one sentence, and the words for its parts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

from lab import words
from lab.model.walk import Explanation, Fate, Way

_MARKS = {"drop": "dropped", "reject": "refused", "unknown": "not known"}
MOST = 8  # ways of one kind that are named
_CASES = 3  # answers to what is not known that the last sentence goes through


def assumed(way: Way) -> tuple[str, ...]:
    """Return what is assumed, without what follows from something else: who comes in by eth0 comes in by eth*."""
    known = {one.field: one for one in way.assumed if one.value}
    return tuple(one.text for one in way.assumed if known.get(one.field, one) is one)


def provided(way: Way) -> str:
    """Return what is assumed of a packet that goes this way, in words."""
    return " and ".join(assumed(way))


def ending(fate: Fate) -> str:
    """Return where a packet ends up, or what ends it."""
    return _MARKS.get(fate.kind) or words.socket(fate.destination, fate.port)


def shares(ways: Sequence[Way]) -> dict[str, Fraction]:
    """Return where packets end up, with the share of each."""
    shares: dict[str, Fraction] = {}
    for way in ways:
        end = ending(way.fate)
        shares[end] = shares.get(end, Fraction(0)) + way.share
    return shares


def sentence(found: Explanation) -> str:
    """Return the whole story in one sentence."""
    packet, node = found.packet, found.vantage.name
    service = next((way.service for way in found.ways if way.service), "")
    asked = f"{words.socket(packet.source, packet.source_port)} asked "
    asked += words.socket(packet.destination, packet.destination_port) + (f" ({service})" if service else "")
    return f"{asked}: {_outcome(found.ways, node)}."


def _outcome(ways: Sequence[Way], node: str) -> str:
    """Return what becomes of the packet; for each answer to what is not known, if there is such."""
    cases: dict[tuple[str, ...], list[Way]] = {}
    for way in ways:
        cases.setdefault(assumed(way), []).append(way)
    if len(cases) == 1:
        return _one_outcome(ways, node)
    if len(cases) <= _CASES:
        told = (f"if {provided(case[0])}, {_one_outcome(case, node)}" for case in cases.values())
        return "; ".join(told)
    outcomes = list(dict.fromkeys(_one_outcome(case, node) for case in cases.values()))
    shown = "; or ".join(words.few(outcomes, MOST))
    return f"it depends on what the rules do not say ({len(cases)} cases, above): {shown}"


def _one_outcome(ways: Sequence[Way], node: str) -> str:
    return "; ".join([*_chosen(ways, node), *_ended(ways, node)])


def _chosen(ways: Sequence[Way], node: str) -> Iterator[str]:
    """Yield what is said of the packets that go on, by whether they are translated and masqueraded."""
    going = [way for way in ways if way.fate.kind == "accept"]
    for dnat in (True, False):
        for masked in (False, True):
            alike = [one for one in going if (one.fate.dnat, bool(one.fate.masquerade)) == (dnat, masked)]
            if not alike:
                continue
            yield f"{_choice(alike, node, dnat=dnat, alone=len(ways) == 1)}, {_source(alike, node)}"


def _source(alike: Sequence[Way], node: str) -> str:
    fate = alike[0].fate
    whose = str(fate.source) if fate.source else f"{node}'s own"
    return f"the source becomes {whose} ({_reasons(alike)})" if fate.masquerade else "the source stays"


def _reasons(alike: Sequence[Way]) -> str:
    reasons = list(dict.fromkeys(way.fate.masquerade for way in alike))
    return reasons[0] + (f", and {len(reasons) - 1} more reasons" if len(reasons) > 1 else "")


def _choice(alike: Sequence[Way], node: str, *, dnat: bool, alone: bool) -> str:
    if dnat:
        named = [f"{end} ({words.share(share)})" if share < 1 else end for end, share in shares(alike).items()]
        return f"{node} chooses {words.several(words.few(named, MOST), 'or')}"
    share = sum((way.share for way in alike), Fraction(0))
    where = f"it stays on {node}" if alike[0].fate.local else f"{node} lets it pass"
    return f"no rule translates it, {where}" + ("" if alone else f" ({words.share(share)})")


def _ended(ways: Sequence[Way], node: str) -> Iterator[str]:
    """Yield what is said of the packets that end here."""
    verbs = {"drop": f"{node} drops it", "reject": f"{node} refuses it", "unknown": "nobody knows what becomes of it"}
    shares: dict[tuple[str, str, str], Fraction] = {}
    for way in ways:
        fate = way.fate
        if fate.kind != "accept":
            key = (verbs[fate.kind], fate.place, fate.detail if fate.kind == "unknown" else "")
            shares[key] = shares.get(key, Fraction(0)) + way.share
    for (verb, place, detail), share in shares.items():
        chance = "" if share == 1 else f" ({words.share(share)})"
        yield f"{verb}{chance} in {place}" + (f": {detail}" if detail else "")
