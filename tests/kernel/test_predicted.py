"""What the rules let expect of a request is what the kernel shows: for every topology, in every mode.

Each request that a topology's expectations make is traced, and put beside the walk through the
rules of the nodes that it passed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest

from lab import catalogue, gallery, judge
from lab.controllers.expect import askers
from lab.journey import assemble
from lab.judge.predicted import predicted
from lab.kernel import children
from lab.model.request import Request
from lab.packets import trace
from lab.parse.place import places
from lab.report import journey as story
from lab.report import predicted as report
from lab.standing import observe, session
from lab.standing.session import Standing

NAMES = [entry.name for entry in catalogue.entries()]
ASKERS = 2  # of a Deployment's pods
SILENCE_S = 0.3  # the first packet is what is looked at


@dataclass(frozen=True, slots=True)
class Seen:
    """What was compared in a lab: how many requests, rules that both sides had, and what differs."""

    requests: int
    rules: int
    wrong: tuple[str, ...]


def requests(lab: Standing) -> Iterator[tuple[str, Request]]:
    """Yield each different request of what the topology expects, with who asks whom."""
    known = places(lab.cluster)
    seen = set()
    for one in lab.cluster.spec.expect:
        if not judge.applies(one, lab.cluster):
            continue
        asking = askers(lab.cluster, known, one.from_)[:ASKERS]
        found, _ = observe.requests_among(
            lab.cluster, known, asking, one.to, port=one.port, protocol=one.protocol, family=one.family
        )
        for place, request in zip(asking, found, strict=True):
            if request not in seen:
                seen.add(request)
                yield f"{place.short} asks {one.to}", replace(request, timeout_s=SILENCE_S if one.error else 3.0)


def compared(name: str, mode: str, lab_name: str) -> Seen:
    chosen = catalogue.choose(name, **gallery.MODES[mode])
    number, rules, wrong = 0, 0, []
    with session.passing(chosen.cluster, name=lab_name, source=name) as lab:
        for asks, request in requests(lab):
            evidence = trace.of(lab, request, whole=True)
            journey = assemble(evidence)
            found = predicted(journey, evidence)
            number += 1
            pairs = [pair for visit in found.visits for pair in visit.pairs]
            rules += sum(bool(pair.predicted and pair.observed) for pair in pairs)
            if not found.agrees or (found.visits and not pairs):
                told = f"{story.text(journey, every=True)}\n{report.text(found)}"
                wrong.append(f"=== {name} in mode {mode}: {asks}\n{told}")
    return Seen(number, rules, tuple(wrong))


@pytest.mark.parametrize("name", NAMES)
def test_the_kernel_shows_what_the_rules_let_expect_and_nothing_else(name: str, runtime: Path) -> None:
    work = [partial(compared, name, mode, f"predicted-{name}-{mode}-{os.getpid()}") for mode in gallery.MODES]
    found = children.each(work, at_once=len(work), done=lambda *_: None)
    wrong = [text for seen in found for text in seen.wrong]
    assert not wrong, "\n".join(wrong)
    assert all(seen.requests and seen.rules >= 5 * seen.requests for seen in found), found
    assert not list(runtime.glob("*/*"))
