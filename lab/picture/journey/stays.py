"""Where a packet was, one place after the other; and what is left of that when it goes round in circles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from lab.model.journey import Journey, Step

MOST = 3
"""How often in a row a packet may come to the same places; of more rounds only the first and the last are shown."""
_WIDEST = 6


@dataclass(frozen=True, slots=True)
class Stay:
    """A place, and what happened to a packet there before it went elsewhere, as indexes of `Journey.steps`.

    `rounds`: how many rounds through the places `within` it stands for; 0 for a stay at one place.
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


def folded(found: Sequence[Stay]) -> list[Stay]:
    """Return stays with one in place of all rounds but the first and the last, where a packet goes round and round."""
    names = [stay.name for stay in found]
    for start in range(len(names)):
        for period in range(1, _WIDEST + 1):
            rounds = _rounds(names[start:], period)
            if rounds > MOST:
                first, last = start + period, start + (rounds - 1) * period
                steps = tuple(index for stay in found[first:last] for index in stay.steps)
                within = tuple(names[start:first])
                middle = Stay("and so on", steps, rounds - 2, within)
                return [*found[:first], middle, *found[last : last + period], *folded(found[last + period :])]
    return list(found)


def _rounds(names: Sequence[str], period: int) -> int:
    """Return how often the first `period` names follow each other."""
    count = 1
    while len(names) >= (count + 1) * period and names[count * period : (count + 1) * period] == names[:period]:
        count += 1
    return count
