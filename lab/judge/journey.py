"""What one request's journey says: its moments, the nodes that it came by, its end, its mark at a hook."""

from __future__ import annotations

from itertools import groupby, takewhile
from typing import TYPE_CHECKING

from lab import words

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from lab.judge.said import Said
    from lab.model.journey import Journey, Leg, Step
    from lab.model.lab import JourneyExpectation, MarkExpectation

ENDS = ("delivered", "dropped", "refused", "lost")

_UNMARKING = {"KUBE-POSTROUTING", "masquerading"}
"""Where kube-proxy takes its mark off, in either mode."""

_At = tuple[str, str]  # a word, and the place that it is about


def at(text: str) -> _At:
    """Return the word and the place ("": anywhere) of `masquerade on node-1`."""
    word, _, place = text.partition(" on ")
    return word, place


def said(wanted: JourneyExpectation, journey: Journey) -> Iterator[Said]:
    """Judge the moments of all legs, and which nodes the request's came by, and its end."""
    moments = [(moment, step.node) for step in journey.steps for moment in step.moments]
    seen = _told(moments)
    if wanted.contains:
        holds = _in_order(map(at, wanted.contains), moments)
        yield "journey", ", ".join(wanted.contains), seen, holds
    if wanted.without:
        none = not any(_means(at(text), one) for text in wanted.without for one in moments)
        yield "journey without", words.several(wanted.without, "or"), seen, none
    request = _request(journey)
    if wanted.via:
        came = _in_turn(step.node for step in request.steps if step.node in journey.nodes) if request else ()
        yield "journey via", ", ".join(wanted.via), ", ".join(came) or "no node", came == wanted.via
    if wanted.end:
        yield _end(wanted.end, request)


def marked(wanted: MarkExpectation, journey: Journey) -> Said:
    """Judge the mark that the request's first packet had on a node behind a hook's rules, each time it came there.

    At postrouting it is the one before kube-proxy's own rules, which take theirs off.
    """
    request = _request(journey)
    hook = wanted.at.upper()
    there = [step for step in request.steps if step.node == wanted.node] if request else []
    seen = {_mark(steps) for name, steps in groupby(there, key=lambda step: step.hook) if name == hook}
    shown = words.several([f"{mark:#x}" for mark in sorted(mark for mark in seen if mark is not None)], "and")
    observed = shown or ("it is not known" if seen else "the packet was not seen there")
    return f"mark at {wanted.at} on {wanted.node}", f"{wanted.is_:#x}", observed, seen == {wanted.is_}


def _mark(steps: Iterable[Step]) -> int | None:
    """Return the last mark that is known of a packet's steps through a hook."""
    found = None
    for step in takewhile(lambda step: not (step.hook == "POSTROUTING" and step.chain in _UNMARKING), steps):
        for mark in (step.mark_before, step.mark_after):
            found = found if mark is None else mark
    return found


def _request(journey: Journey) -> Leg | None:
    return next((leg for leg in journey.legs if leg.role == "request"), None)


def _means(wanted: _At, there: _At) -> bool:
    return wanted[0] == there[0] and wanted[1] in {"", there[1]}


def _in_order(wanted: Iterable[_At], moments: Sequence[_At]) -> bool:
    """Return whether all that is wanted is there, each behind the one before; others may be between."""
    left = iter(moments)
    return all(any(_means(one, other) for other in left) for one in wanted)


def _told(moments: Sequence[_At]) -> str:
    """Return `choose, dnat on node-1; drop on node-2`."""
    together = groupby(moments, key=lambda one: one[1])
    return "; ".join(f"{', '.join(word for word, _ in those)} on {place}" for place, those in together) or "none"


def _in_turn(places: Iterable[str]) -> tuple[str, ...]:
    return tuple(place for place, _ in groupby(places))


def _end(wanted: str, request: Leg | None) -> Said:
    word, place = at(wanted)
    if request is None:
        return "journey end", wanted, "the packet was not seen", False
    end = request.end
    holds = word == end.kind and place in {"", end.node}
    return "journey end", wanted, f"{end.kind} on {end.node}: {end.why}", holds
