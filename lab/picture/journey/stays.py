"""Where a packet was, one place after the other; and what is left of that when it goes round in circles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from lab.model.journey import Journey, Step
from lab.report.journey_rounds import SHOWN, circles, look


@dataclass(frozen=True, slots=True)
class Stay:
    """A place, and what happened to a packet there before it went elsewhere, as indexes of `Journey.steps`.

    `rounds`: for how many more rounds through the places `within` it stands; 0 for a stay at one place.
    """

    name: str
    steps: tuple[int, ...]
    rounds: int = 0
    within: tuple[str, ...] = ()


def stays(journey: Journey, indexes: Sequence[int]) -> list[Stay]:
    """Return each stay at a place; a packet that a node sends to itself (by lo) is there twice."""
    steps = journey.steps
    return [
        Stay(name, stay)
        for name, group in groupby(indexes, key=lambda index: steps[index].node)
        for stay in _apart(steps, group)
    ]


def _apart(steps: Sequence[Step], indexes: Iterator[int]) -> Iterator[tuple[int, ...]]:
    stay: list[int] = []
    for index in indexes:
        if _begins_again(steps[index], [steps[one] for one in stay]):
            cut = len(stay)
            while cut and steps[stay[cut - 1]].direction == "in":
                cut -= 1
            yield tuple(stay[:cut])
            stay = stay[cut:]
        stay.append(index)
    yield tuple(stay)


def _begins_again(step: Step, stay: Sequence[Step]) -> bool:
    """Return whether a step is at a hook that comes before one of those where the packet was."""
    return (
        step.kind == "hook"
        and step.hook in {"PREROUTING", "OUTPUT"}
        and any(one.kind == "hook" and one.hook != "PREROUTING" for one in stay)
    )


def folded(journey: Journey, found: Sequence[Stay]) -> Iterator[Stay]:
    """Yield stays with one in place of all rounds but the first and the last, where a packet goes round and round."""
    for circle in circles([look(journey.steps[index] for index in stay.steps) for stay in found], SHOWN):
        first = circle.first + circle.period
        last = circle.first + (circle.rounds - 1) * circle.period
        yield from found[circle.first : first]
        if circle.rounds > 1:
            steps = tuple(index for stay in found[first:last] for index in stay.steps)
            within = tuple(stay.name for stay in found[circle.first : first])
            yield Stay("and so on", steps, circle.rounds - SHOWN, within)
            yield from found[last : last + circle.period]
