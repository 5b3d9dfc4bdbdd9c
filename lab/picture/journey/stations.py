"""A journey as a row of stations: which interfaces, hooks and decisions its packets met at each place, in their order.

The shape of a node is the packet-flow picture of netfilter's hooks (nf_inet_hooks, linux/netfilter.h): PREROUTING,
routing, then FORWARD, or INPUT, a local process and OUTPUT, and POSTROUTING. It is there for each direction: packets to
the endpoint go down the one, those to the asker up the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from difflib import SequenceMatcher
from typing import Literal

from lab.model.journey import Journey, Leg, Step
from lab.picture.journey.stays import Stay, folded, stays

Side = Literal["down", "up"]
SIDES: tuple[Side, ...] = ("down", "up")
Kind = Literal["tap", "hook", "decision", "process"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One thing in a station that a packet meets: an interface, a hook, a decision, the local process.

    `name`: the interface's, the hook's, `routing`, `bridge`; `way`: whether it came in there or went out (`tap`).
    `steps`: what happened there, as indexes of `Journey.steps`; none if no packet came there. `legs`: whose packet
    came, as indexes of `Journey.legs`. `observed` False: that it came there is inferred. `within`: the places that it
    went round in, if the cell stands for many rounds.
    """

    kind: Kind
    name: str
    way: Literal["in", "out", ""] = ""
    steps: tuple[int, ...] = ()
    legs: frozenset[int] = frozenset()
    observed: bool = True
    within: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, ...]:
        """What makes it the same for the packets of two legs."""
        return self.kind, self.name, self.way


@dataclass(frozen=True, kw_only=True, slots=True)
class Lane:
    """The cells that packets of one direction meet in a station, in their order.

    `before`: up to the decision where a packet goes; then `forward`, or `arriving` at the local process, or `leaving`
    it; `after`: up to the last interface. A place that is no node has only `before`.
    """

    before: tuple[Cell, ...] = ()
    forward: tuple[Cell, ...] = ()
    arriving: tuple[Cell, ...] = ()
    process: tuple[Cell, ...] = ()
    leaving: tuple[Cell, ...] = ()
    after: tuple[Cell, ...] = ()

    @property
    def cells(self) -> tuple[Cell, ...]:
        """All of them, in the order in which a packet would meet them."""
        return (*self.before, *self.forward, *self.arriving, *self.process, *self.leaving, *self.after)


@dataclass(frozen=True, kw_only=True, slots=True)
class Station:
    """A place that packets came through, or (`reached` False) were to come to; `lanes` of the directions that came."""

    name: str
    node: bool
    lanes: dict[Side, Lane] = field(default_factory=dict)
    reached: bool = True


def side_of(journey: Journey, leg: Leg) -> Side:
    """Return whether a leg's packet goes the request's way, or back."""
    if leg.role == "data" and leg.steps:
        return "down" if leg.steps[0].node == journey.legs[0].steps[0].node else "up"
    return "down" if leg.role in {"request", "data"} else "up"


Row = tuple[str, dict[int, Stay]]
"""A place, and what each leg did there."""


def stations(journey: Journey) -> list[Station]:
    """Return the places of a journey, from the asker to the endpoint."""
    rows: list[Row] = []
    first = 0
    for index, leg in enumerate(journey.legs):
        found = list(folded(journey, stays(journey, range(first, first + len(leg.steps)))))
        first += len(leg.steps)
        if side_of(journey, leg) == "up":
            found.reverse()
        pairs = _aligned([name for name, _ in rows], [stay.name for stay in found])
        rows = [_row(index, rows[old] if old >= 0 else None, found[new] if new >= 0 else None) for old, new in pairs]
    missed = _missed(journey, {name for name, _ in rows})
    last = [Station(name=missed, node=missed in journey.nodes, reached=False)] if missed else []
    return [*(_station(journey, name, legs) for name, legs in rows), *last]


def _row(leg: int, row: Row | None, stay: Stay | None) -> Row:
    """Return a row with what one more leg did there."""
    name, legs = row or ("", {})
    return (name or stay.name, legs | {leg: stay}) if stay else (name, legs)


def _aligned(old: Sequence[object], new: Sequence[object]) -> list[tuple[int, int]]:
    """Return the indexes of both, what is the same beside each other; -1 where one has nothing."""
    pairs: list[tuple[int, int]] = []
    for word, start, end, new_start, new_end in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if word == "equal":
            pairs += zip(range(start, end), range(new_start, new_end), strict=True)
        else:
            pairs += [(index, -1) for index in range(start, end)]
            pairs += [(-1, index) for index in range(new_start, new_end)]
    return pairs


def _missed(journey: Journey, seen: set[str]) -> str:
    """Return to whom the request was on its way, if it did not come there."""
    if not journey.legs or journey.legs[0].end.kind == "delivered":
        return ""
    whom = journey.endpoint or ("" if journey.goal.startswith("svc/") else journey.goal)
    return whom if whom not in seen and whom in journey.names.values() else ""


def _station(journey: Journey, name: str, legs: dict[int, Stay]) -> Station:
    steps = [journey.steps[index] for stay in legs.values() if not stay.rounds for index in stay.steps]
    node = any(step.node in journey.nodes or step.hook for step in steps)
    delivered = frozenset(index for index, leg in enumerate(journey.legs) if leg.end.kind == "delivered")
    lanes: dict[Side, Lane] = {}
    for side in SIDES:
        cells: list[Cell] = []
        for leg, stay in legs.items():
            if side_of(journey, journey.legs[leg]) == side:
                cells = _merged(cells, _cells(journey, leg, stay))
        if cells:
            lanes[side] = _lane(cells, delivered) if node else Lane(before=tuple(cells))
    return Station(name=name, node=node, lanes=lanes)


def _cells(journey: Journey, leg: int, stay: Stay) -> list[Cell]:
    """Return what one leg's packet met in one stay, in order; a rule, say, happened in the cell that came before it."""
    if stay.rounds:
        rounds = f"{stay.rounds} rounds"
        return [Cell(kind="decision", name=rounds, steps=stay.steps, legs=frozenset({leg}), within=stay.within)]
    cells: list[Cell] = []
    for index in stay.steps:
        step = journey.steps[index]
        new = _cell(step)
        if cells and (not new or new.key == cells[-1].key):
            seen = cells[-1].observed or step.observed
            cells[-1] = replace(cells[-1], steps=(*cells[-1].steps, index), observed=seen)
        else:
            new = new or Cell(kind="decision", name=step.kind)
            cells.append(replace(new, steps=(index,), legs=frozenset({leg}), observed=step.observed))
    return cells


def _cell(step: Step) -> Cell | None:
    """Return where a step happened, None if it does not say."""
    match step.kind:
        case "tap":
            return Cell(kind="tap", name=step.interface, way=step.direction)
        case "route":
            return Cell(kind="decision", name="routing")
        case "bridge":
            return Cell(kind="decision", name="bridge")
        case _:
            return Cell(kind="hook", name=step.hook) if step.hook else None


def _merged(one: list[Cell], other: list[Cell]) -> list[Cell]:
    """Return what the packets of two legs met."""
    merged = []
    for old, new in _aligned([cell.key for cell in one], [cell.key for cell in other]):
        cells = ([one[old]] if old >= 0 else []) + ([other[new]] if new >= 0 else [])
        steps = tuple(index for cell in cells for index in cell.steps)
        legs = frozenset(leg for cell in cells for leg in cell.legs)
        merged.append(replace(cells[0], steps=steps, legs=legs, observed=any(cell.observed for cell in cells)))
    return merged


_TURNS = {
    "INPUT": ("arriving", "arriving"),
    "FORWARD": ("forward", "after"),
    "OUTPUT": ("leaving", "after"),
    "POSTROUTING": ("after", "after"),
}
"""Hooks -> the part of a lane that they are in, and the one that is next."""


def _lane(cells: Sequence[Cell], delivered: frozenset[int]) -> Lane:
    """Return the cells in the shape of a node, and the hooks that no packet came to; `delivered`: which legs were."""
    parts: dict[str, list[Cell]] = {"before": [], "forward": [], "arriving": [], "leaving": [], "after": []}
    hooks = [cell.name for cell in cells if cell.kind == "hook"]
    at = "leaving" if hooks[:1] == ["OUTPUT"] and cells[0].kind != "tap" else "before"
    for cell in cells:
        if cell.kind == "hook":
            here, at = _TURNS.get(cell.name, (at, at))
        elif at == "before" and not hooks and cell.name == "bridge":
            here, at = "forward", "after"
        else:
            here = at = "after" if at == "before" and cell.way == "out" else at
        parts[here].append(cell)
    local = {leg for cell in parts["arriving"] for leg in cell.legs & delivered}
    local |= {leg for cell in parts["leaving"] for leg in cell.legs}
    _complete(parts)
    process = Cell(kind="process", name="local process", legs=frozenset(local))
    return Lane(**{part: tuple(found) for part, found in parts.items()}, process=(process,))


def _complete(parts: dict[str, list[Cell]]) -> None:
    """Put in what no packet came to."""
    before, after = parts["before"], parts["after"]
    if not any(cell.name == "PREROUTING" for cell in before):
        taps = next((index for index, cell in enumerate(before) if cell.kind != "tap"), len(before))
        before.insert(taps, Cell(kind="hook", name="PREROUTING"))
    if not any(cell.kind == "decision" for cell in before):
        before.append(Cell(kind="decision", name="routing"))
    if not any(cell.name == "POSTROUTING" for cell in after):
        after.insert(0, Cell(kind="hook", name="POSTROUTING"))
    for part, hook in (("forward", "FORWARD"), ("arriving", "INPUT"), ("leaving", "OUTPUT")):
        parts[part] = parts[part] or [Cell(kind="hook", name=hook)]
