"""A packet's story as far as it is told: the steps, and how the packet looks behind them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lab.journey import routing
    from lab.journey.rules import Book
    from lab.journey.sight import Places, Track
    from lab.model.address import IPAddress
    from lab.model.flow import Tuple
    from lab.model.journey import Step
    from lab.model.trace import Evidence, Route, RouteQuestion


@dataclass(slots=True)
class Story:
    """The steps of one packet so far, with how it looks and its mark behind them.

    `decisions`: where it was routed; `entered`: how it looked when it came to each namespace, the last time.
    """

    track: Track
    book: Book
    places: Places
    evidence: Evidence
    answers: Mapping[RouteQuestion, Route]
    packet: Tuple
    names: Mapping[IPAddress, str]
    mark: int | None = None
    steps: list[Step] = field(default_factory=list)
    decisions: list[routing.Decision] = field(default_factory=list)
    entered: dict[str, Tuple] = field(default_factory=dict)

    def add(self, step: Step) -> None:
        """Tell one step more."""
        self.steps.append(step)
        self.packet, self.mark = step.after, step.mark_after
