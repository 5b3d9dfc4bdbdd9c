"""A packet that goes round in circles: its stays at machine after machine, the same ones again and again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from lab.model.journey import Step

_WIDEST = 6  # machines in one circle
_FEWEST = 2  # rounds that are told as one
SHOWN = 2
"""So many rounds of a packet that goes in circles are told, or drawn, as they are."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stay:
    """What happened at one machine, or in several `rounds` between the machines `nodes`, one after the other."""

    nodes: tuple[str, ...]
    steps: tuple[Step, ...]
    rounds: int = 0


def stays(steps: Sequence[Step]) -> list[Stay]:
    """Return the stays at each machine."""
    return [Stay(nodes=(node,), steps=tuple(group)) for node, group in groupby(steps, key=lambda step: step.node)]


def folded(found: Sequence[Stay], shown: int) -> Iterator[Stay]:
    """Yield stays; of several identical rounds in a row `shown` as they are, and all others as one."""
    for circle in circles([look(stay.steps) for stay in found], shown):
        first, behind = circle.first + shown * circle.period, circle.first + circle.rounds * circle.period
        if circle.rounds == 1:
            yield found[circle.first]
            continue
        yield from found[circle.first : first]
        nodes = tuple(node for stay in found[circle.first : circle.first + circle.period] for node in stay.nodes)
        steps = tuple(step for stay in found[first:behind] for step in stay.steps)
        yield Stay(nodes=nodes, steps=steps, rounds=circle.rounds - shown)


@dataclass(frozen=True, slots=True)
class Circle:
    """Stays that are the same again and again: `rounds` of so many (`period`) stays, from the index `first` on.

    A stay that is by itself is one round of one.
    """

    first: int
    period: int = 1
    rounds: int = 1


def circles(looks: Sequence[object], shown: int) -> Iterator[Circle]:
    """Yield all stays in order, by their `look`; together those rounds of which more than `shown` would be worth it."""
    at = 0
    while at < len(looks):
        period, rounds = max(
            ((period, _rounds(looks[at:], period)) for period in range(2, _WIDEST + 1)),
            key=lambda pair: (pair[1] > 1, -pair[0]),
        )
        circle = Circle(at, period, rounds) if rounds - shown >= _FEWEST else Circle(at)
        yield circle
        at += circle.period * circle.rounds


def hops(stay: Stay) -> str:
    """Return how the hops that were left went down, "" if that is not known: `TTL 60 -> 4`."""
    known = [step.ttl for step in stay.steps if step.ttl]
    return f"TTL {known[0]} -> {known[-1]}" if known else ""


def look(steps: Iterable[Step]) -> tuple[object, ...]:
    """Return what is the same in each round: where the packet was, how it looked, and what stood out."""
    return tuple(
        (one.node, one.kind, one.hook, one.interface, one.out_interface, one.direction, one.before, one.moments)
        for one in steps
        if one.kind in ("tap", "hook") or one.moments
    )


def _rounds(looks: Sequence[object], period: int) -> int:
    """Return how often the first `period` of them follow each other."""
    count = 1
    while looks[count * period : (count + 1) * period] == looks[:period]:
        count += 1
    return count
