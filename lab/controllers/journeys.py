"""Expectations about journeys: every word for a rule, a moment or an end must be one, every place be there."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from msgspec import structs

from lab import words
from lab.errors import TopologyError
from lab.judge import journey, rules
from lab.model.journey import Moment
from lab.parse.mistake import did_you_mean, listed, show
from lab.parse.place import PLACES, Kind, Place, find

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lab.model.lab import JourneyExpectation, Outcome
    from lab.parse.mistake import Path

NODE: tuple[Kind, ...] = ("node",)
MOMENTS: tuple[str, ...] = get_args(Moment)

Wrong = tuple["Path", str, bool]
"""Where in an outcome, what is wrong, and whether that is certain (see `Mistake`)."""


def in_short(known: list[Place], wanted: JourneyExpectation) -> JourneyExpectation:
    """Return what is expected of a journey with its places as journeys name them; raises `TopologyError` for others."""
    return structs.replace(
        wanted,
        contains=tuple(_at_short(known, text) for text in wanted.contains),
        without=tuple(_at_short(known, text) for text in wanted.without),
        via=tuple(find(known, name, kinds=NODE).short for name in wanted.via),
        end=_at_short(known, wanted.end),
    )


def _at_short(known: list[Place], text: str) -> str:
    word, place = journey.at(text)
    return f"{word} on {find(known, place, kinds=PLACES).short}" if place else word


def wrong_rules(texts: Iterable[str]) -> Iterator[Wrong]:
    """Yield what is wrong with the rules of a `hit`."""
    for number, text in enumerate(texts):
        if rules.mode_of(text) is None:
            yield (number,), _no_rule(text), True


def _no_rule(text: str) -> str:
    chain, arrow, target = text.partition(" > ")
    if not arrow:
        return f"{show(text)} is no rule; expected `CHAIN > TARGET`, such as {show('KUBE-SVC > KUBE-SEP')}"
    mode = next((mode for mode, chains in rules.CHAINS.items() if rules.short(chain) in chains), None)
    if mode is None:
        near = did_you_mean(chain, [name for chains in rules.CHAINS.values() for name in chains])
        return f"{show(chain)} is no chain of kube-proxy's; expected one such as KUBE-SVC or service{near}"
    verdicts = rules.TARGETS[mode]
    return (
        f"no rule of {chain} leads to {show(target)}; expected a chain of mode {mode}, or"
        f" {words.several(verdicts, 'or')}{did_you_mean(target, (*rules.CHAINS[mode], *verdicts))}"
    )


def wrong(known: list[Place], one: Outcome) -> Iterator[Wrong]:
    """Yield what is wrong with an outcome's `journey`."""
    wanted = one.story
    if wanted is None:
        return
    if not (wanted.contains or wanted.without or wanted.via or wanted.end):
        yield (), f"nothing is expected; expected moments: {words.several(MOMENTS, 'or')}", True
    contains: Path = () if isinstance(one.journey, tuple) else ("contains",)
    for number, text in enumerate(wanted.contains):
        yield from _at(known, text, MOMENTS, "moment", (*contains, number))
    for number, text in enumerate(wanted.without):
        yield from _at(known, text, MOMENTS, "moment", ("without", number))
        if text in wanted.contains:
            both = f"{show(text)} is expected in `contains` as well; expected one of the two"
            yield ("without", number), both, True
    for number, name in enumerate(wanted.via):
        yield from _place(known, name, NODE, ("via", number))
    if wanted.end:
        yield from _at(known, wanted.end, journey.ENDS, "end of a request", ("end",))


def _at(known: list[Place], text: str, valid: tuple[str, ...], what: str, path: Path) -> Iterator[Wrong]:
    """Yield what is wrong with a text that shall be one of the `valid` words, alone or with `on` and a place."""
    word, place = journey.at(text)
    if word not in valid:
        yield path, f"{show(word)} is no {what}; expected {listed(valid)}{did_you_mean(word, valid)}", True
    if place:
        yield from _place(known, place, PLACES, path)


def _place(known: list[Place], text: str, kinds: tuple[Kind, ...], path: Path) -> Iterator[Wrong]:
    try:
        find(known, text, kinds=kinds)
    except TopologyError as error:
        yield path, error.message, False
