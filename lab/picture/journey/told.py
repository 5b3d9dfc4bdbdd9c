"""What a picture says beside the places of a journey: few words for what matters, the rest is in the list of steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from lab import words
from lab.model.flow import Tuple
from lab.model.journey import End, Journey, Leg, Moment, Step
from lab.picture.journey.stations import Cell
from lab.picture.theme import Colour
from lab.report.journey_sentence import MOMENTS, odds

ROLES: dict[str, Colour] = {"request": "blue", "reply": "green", "refusal": "red", "data": "amber"}
"""The colour of each role's way."""

HUES: dict[Moment, Colour] = {
    "choose": "blue",
    "dnat": "violet",
    "mark": "amber",
    "mark-read": "amber",
    "masquerade": "violet",
    "snat": "violet",
    "port-changed": "violet",
    "untracked": "amber",
    "act": "amber",
    "hairpin": "blue",
    "reply-translated": "violet",
    "reject": "red",
    "drop": "red",
    "lost": "red",
}
"""The colour of each moment."""

_DEATHS: frozenset[Moment] = frozenset({"reject", "drop", "lost"})
ENDS = {"dropped": "dropped", "refused": "refused", "lost": "lost", "unknown": "not seen any more"}


@dataclass(frozen=True, slots=True)
class Line:
    """One line, or several if there is no room, of a callout; `step`: whose, as an index, None for what a leg says."""

    text: str
    style: str = "note"
    colour: Colour | None = None
    step: int | None = None
    leg: int = 0


def numbers(journey: Journey) -> dict[int, int]:
    """Return the number of each step that matters, from 1, by its index."""
    told = [index for index, step in enumerate(journey.steps) if step.matters or step.moments]
    return {index: number for number, index in enumerate(told, 1)}


def legs_of(journey: Journey) -> list[int]:
    """Return to which leg, as an index, each step belongs."""
    return [index for index, leg in enumerate(journey.legs) for _ in leg.steps]


def lines(journey: Journey, cell: Cell) -> list[Line]:
    """Return what is to be said beside a cell."""
    if cell.within:
        whom = words.several(list(dict.fromkeys(cell.within)), "and")
        return [Line(f"{cell.name.replace(' ', ' more ')} by {whom}", leg=min(cell.legs))]
    owners = legs_of(journey)
    said: list[Line] = []
    for index in cell.steps:
        leg = owners[index]
        shown = journey.legs[leg]
        last = index == len(owners) - 1 or owners[index + 1] != leg
        if index == owners.index(leg):
            said.append(Line(caption(shown), "name", ROLES[shown.role], leg=leg))
        dead = last and shown.end.kind != "delivered"
        moments = [one for one in journey.steps[index].moments if not (dead and one in _DEATHS)]
        said += [replace(one, step=index, leg=leg) for one in _of(journey.steps[index], moments, told=not dead)]
        if dead:
            said += [replace(one, step=index, leg=leg) for one in _death(shown.end)]
        elif last:
            said.append(Line("✓ arrived", "name", ROLES[shown.role], leg=leg))
    return _chains_once(said)


def _chains_once(said: list[Line]) -> list[Line]:
    """Leave a chain's name out where the same one follows."""
    chains = [at for at, line in enumerate(said) if line.style == "address"]
    twice = {at for at, after in pairwise(chains) if said[at].text == said[after].text}
    return [line for at, line in enumerate(said) if at not in twice]


def caption(leg: Leg) -> str:
    """Return what a leg is: `request: tcp [S], sent 2 times`."""
    return f"{leg.role}: {leg.packet}" + (f", sent {words.count(leg.times, 'time')}" if leg.times > 1 else "")


def _death(end: End) -> list[Line]:
    said = [Line(f"✕ {ENDS[end.kind]}", "name", "red"), Line(end.why, "note", "red")]
    return said if end.observed else [*said, Line("inferred, not observed", "small")]


def _of(step: Step, moments: Sequence[Moment], *, told: bool) -> list[Line]:
    """Return the lines of a step; `told`: also of one at which nothing stands out."""
    said = [line for moment in moments for line in _moment(step, moment)]
    if said and step.chain:
        return [*said, Line(step.chain, "address")]
    carried = step.kind == "tap" and step.text and step.direction == "out"  # a tunnel's packet
    plain = told and step.matters and (carried or step.kind in {"route", "conntrack", "bridge"})
    return said or ([Line(_plain(step))] if plain else [])


def _plain(step: Step) -> str:
    match step.kind:
        case "conntrack":
            return f"conntrack: {step.text.rpartition(': ')[2]}"  # what it does; its two tuples are in the list
        case "bridge":
            return step.text or f"from {step.interface} to {step.out_interface}"
        case _:
            return step.text


def _moment(step: Step, moment: Moment) -> list[Line]:
    """Return a headline, and what belongs under it."""
    if moment == "mark-read" and not step.mark_before:  # nobody marked it: that is how it usually is
        return [Line(f"mark {mark(step.mark_before)} read: {step.verdict}".removesuffix(": "))]
    title, *more = _words(step, moment)
    return [Line(title, "name", HUES[moment]), *(Line(one, "code") for one in more)]


def _words(step: Step, moment: Moment) -> list[str]:
    match moment:
        case "choose":
            said = [f"chose {step.endpoint}, {odds(step)}".removesuffix(", ")]
        case "mark":
            said = [f"mark {mark(step.mark_before)} → {mark(step.mark_after)}"]
        case "mark-read":
            said = [f"mark {mark(step.mark_before)} read"]
        case "hairpin":
            said = ["hairpin", *([f"back out of {step.out_interface}"] if step.out_interface else [])]
        case "dnat" | "masquerade" | "snat" | "port-changed" | "reply-translated":
            said = [MOMENTS[moment], *changed(step.before, step.after)]
        case "act":
            said = [f"{MOMENTS[moment]}: {step.text}".removesuffix(": ")]
        case _:
            said = [MOMENTS[moment]]
    return said


def mark(value: int | None) -> str:
    """Return a mark as iptables writes it, `?` if it is not known."""
    return "?" if value is None else f"{value:#x}"


def changed(before: Tuple, after: Tuple) -> list[str]:
    """Return the ends that were rewritten, before and after, a line each."""
    ends = (
        (words.socket(before.src, before.sport), words.socket(after.src, after.sport)),
        (words.socket(before.dst, before.dport), words.socket(after.dst, after.dport)),
    )
    return [line for old, new in ends if old != new for line in (old, f"→ {new}")]
