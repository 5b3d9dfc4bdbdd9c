"""What one rule does with a packet: each way that it may go, with its share.

A question without an answer makes two ways, one for each answer, unless both lead on alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Literal

from lab import words
from lab.model.address import IPAddress
from lab.model.netfilter import (
    Chance,
    Decide,
    Dnat,
    Draw,
    Lookup,
    Mark,
    Masquerade,
    Match,
    Note,
    Reject,
    Remember,
    Remembered,
    Rule,
    Statement,
    Unknown,
    Verdict,
)
from lab.model.walk import Packet
from lab.proxy.names import service_of_chain, service_of_comment
from lab.proxy.walk.ask import Place, compare, lookup, remembered
from lab.proxy.walk.doubt import Answer, unknown

_ONE = Fraction(1)
_MOST_FORKS = 256  # of one explanation; after that open questions are not followed further
_CONTINUE = Verdict("continue")
_ACCEPT = Verdict("accept")


@dataclass(frozen=True, kw_only=True, slots=True)
class Branch:
    """One of the ways that a packet goes from a rule, and how likely.

    `matched` is None when it cannot be known. `end`: `reject` or `unknown` when the way ends here.
    """

    share: Fraction = _ONE
    packet: Packet
    matched: bool | None = True
    why: str
    verdict: Verdict = _CONTINUE
    end: Literal["", "reject", "unknown"] = ""


def branches(rule: Rule, packet: Packet, place: Place) -> Iterator[Branch]:
    """Yield every way that `packet` may go from `rule`."""
    named = packet
    service = service_of_comment(rule.comment)
    if service and not packet.service:
        named = replace(packet, service=service)
    for branch in _follow(rule.statements, named, place, []):
        if branch.matched or packet is named:
            yield branch
        elif branch.packet is named:
            yield replace(branch, packet=packet)
        else:
            yield replace(branch, packet=replace(branch.packet, service=packet.service))


def _follow(statements: Sequence[Statement], packet: Packet, place: Place, why: list[str]) -> Iterator[Branch]:
    """Go through the questions up to the first deed, do it, and go on behind it."""
    asked = _questions(statements, packet, place)
    refused = next((answer.why for answer in asked.answers if answer.holds is False), None)
    if refused is not None:
        yield Branch(packet=packet, matched=False, why=refused)
        return
    still = [answer for answer in asked.answers if answer.holds is None]
    if still:
        yield from _fork(statements, packet, place, why, still)
        return
    why = [*why, *(answer.why for answer in asked.answers if answer.why)]
    share = asked.share
    if share:
        told = [*why, f"by chance, {words.share(share)}"] if share < 1 else why
        for branch in _act(statements, asked.at, packet, place, told, asked.verdict):
            yield replace(branch, share=branch.share * share) if share < 1 else branch
    if share < 1:
        yield Branch(share=1 - share, packet=packet, matched=False, why=f"by chance, {words.share(1 - share)}")


def _fork(
    statements: Sequence[Statement], packet: Packet, place: Place, why: list[str], still: list[Answer]
) -> Iterator[Branch]:
    """Follow both answers to the first open question; if neither changes anything, there is one way."""
    doubt = still[0].doubt
    asked = ", ".join(answer.why for answer in still)
    ledger = place.ledger
    if doubt is None or ledger.forks >= _MOST_FORKS:
        more = "" if doubt is None else " (there are too many open questions to follow each)"
        yield Branch(packet=packet, matched=None, why=f"unknown: {asked}{more}", end="unknown")
        return
    yes, no = (replace(packet, assumed=(*packet.assumed, doubt.assumed(holds=holds))) for holds in (True, False))
    before = ledger.forks
    ways = [*_follow(statements, yes, place, why)]
    if all(_idle(way, yes) for way in ways):
        ledger.forks = before
        yield Branch(packet=packet, matched=None, why=f"not known, and nothing changes either way: {asked}")
        return
    ledger.forks += 1
    yield from ways
    yield Branch(packet=no, matched=False, why=f"assumed: {no.assumed[-1].text}")


def _idle(way: Branch, packet: Packet) -> bool:
    """Return whether nothing becomes of a packet, but that more is assumed of it."""
    after = replace(way.packet, assumed=packet.assumed, service=packet.service)
    return way.verdict.kind == "continue" and not way.end and after == packet


@dataclass(slots=True)
class _Asked:
    """The answers to a row of questions, and where it ended: at a map's verdict, at a deed, or with the rule."""

    at: int = 0
    answers: list[Answer] = field(default_factory=list)
    share: Fraction = _ONE
    verdict: Verdict | None = None


def _questions(statements: Sequence[Statement], packet: Packet, place: Place) -> _Asked:
    asked = _Asked()
    while asked.at < len(statements) and asked.verdict is None:
        one = statements[asked.at]
        if isinstance(one, Chance):
            asked.share *= one.share
        elif isinstance(one, Match | Lookup | Remembered) or (isinstance(one, Unknown) and one.match):
            asked.answers.append(_ask(one, packet, place))
            asked.verdict = asked.answers[-1].verdict
        elif not isinstance(one, Note):
            break
        asked.at += 1
    return asked


def _ask(one: Match | Lookup | Remembered | Unknown, packet: Packet, place: Place) -> Answer:
    if isinstance(one, Match):
        return compare(one, packet, place)
    if isinstance(one, Unknown):
        return unknown(one, packet)
    return lookup(one, packet, place) if isinstance(one, Lookup) else remembered(one, packet, place)


def _act(
    statements: Sequence[Statement],
    at: int,
    packet: Packet,
    place: Place,
    why: list[str],
    verdict: Verdict | None,
) -> Iterator[Branch]:
    """Do the verdict of a map, or the deed at `at`; without either the rule ends."""
    if verdict is not None:
        yield _decided(verdict, packet, why)
        return
    if at == len(statements):
        last = statements[-1] if statements else None
        beside = isinstance(last, Note) and last.text.startswith("-j ")
        said = f"`{last.text}`, and it goes on" if last and beside else "counted, for there is no target"
        yield Branch(packet=packet, why=_told(why, said))
        return
    one = statements[at]
    match one:
        case Mark():
            after, deed = _marked(one, packet)
            yield from _go_on(statements, at, after, place, [*why, deed])
        case Remember():
            yield from _go_on(statements, at, packet, place, [*why, f"the source is remembered in {one.name}"])
        case Decide():
            yield _decided(one.verdict, packet, why)
        case Dnat() | Draw():
            yield from _draw(one, packet, why)
        case Masquerade():
            after = replace(packet, masqueraded=True, new_source=one.source)
            deed = f"the source becomes {one.source}" if one.source else "masqueraded: the source becomes the node's"
            yield Branch(packet=after, why=_told(why, deed), verdict=_ACCEPT)
        case Reject():
            yield Branch(packet=packet, why=_told(why, f"refused, by {one.answer}"), end="reject")
        case _:
            yield Branch(packet=packet, matched=None, why=f"unknown: `{one.text}`", end="unknown")


def _marked(one: Mark, packet: Packet) -> tuple[Packet, str]:
    if one.of == "mark":
        mark = packet.mark & one.keep ^ one.flip ^ packet.ct_mark & one.mix
        return replace(packet, mark=mark), f"the mark {'stays' if mark == packet.mark else 'becomes'} {mark:#x}"
    mark = packet.ct_mark & one.keep ^ one.flip ^ packet.mark & one.mix
    stays = mark == packet.ct_mark
    return replace(packet, ct_mark=mark), f"the connection's mark {'stays' if stays else 'becomes'} {mark:#x}"


def _go_on(statements: Sequence[Statement], at: int, packet: Packet, place: Place, why: list[str]) -> Iterator[Branch]:
    if at + 1 == len(statements):
        yield Branch(packet=packet, why="; ".join(why))
        return
    for branch in _follow(statements[at + 1 :], packet, place, why):
        yield branch if branch.matched is not False else replace(branch, matched=True, why="; ".join(why))


def _decided(verdict: Verdict, packet: Packet, why: list[str]) -> Branch:
    service = packet.service or service_of_comment(verdict.comment) or service_of_chain(verdict.target)
    named = packet if service == packet.service else replace(packet, service=service)
    deed = f"{verdict.kind} {verdict.target}".rstrip()
    return Branch(packet=named, why=_told(why, deed), verdict=verdict)


def _told(why: list[str], deed: str) -> str:
    return f"{'; '.join(why)}: {deed}" if why else deed


def _draw(one: Dnat | Draw, packet: Packet, why: list[str]) -> Iterator[Branch]:
    """Yield a branch for each different choice; a number without one does nothing."""
    shares: dict[tuple[IPAddress, int] | Verdict, Fraction] = {}
    for number in range(one.modulus) if one.modulus <= len(one.choices) else one.choices:
        if number in one.choices and number < one.modulus:
            choice = one.choices[number]
            shares[choice] = shares.get(choice, Fraction(0)) + Fraction(1, one.modulus)
    for choice, share in shares.items():
        picked = [*why, f"by chance, {words.share(share)}"] if share < 1 else why
        if isinstance(choice, Verdict):
            yield replace(_decided(choice, packet, picked), share=share)
        else:
            address, port = choice
            port = port or packet.destination_port
            after = replace(packet, destination=address, destination_port=port, dnat=True)
            deed = f"the destination becomes {words.socket(address, port)}"
            yield Branch(share=share, packet=after, why=_told(picked, deed), verdict=_ACCEPT)
    rest = 1 - sum(shares.values(), Fraction(0))
    if rest:
        yield Branch(share=rest, packet=packet, matched=False, why=f"by chance, {words.share(rest)}, nothing is chosen")
