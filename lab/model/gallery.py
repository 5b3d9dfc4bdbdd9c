"""What came of a topology of the gallery, in one mode."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.model.finding import Finding
    from lab.model.lab import Expectation


@dataclass(frozen=True, kw_only=True, slots=True)
class Tried:
    """A topology in a mode: what was found of it, or why it could not be built, or why it was not tried at all."""

    topology: str
    mode: str
    judged: tuple[tuple[Finding, ...], ...] = ()
    left_out: tuple[Expectation, ...] = ()
    error: str = ""
    not_tried: str = ""
    took_s: float = 0.0

    @property
    def failed(self) -> tuple[tuple[Finding, ...], ...]:
        """The findings of each expectation that does not hold."""
        return tuple(findings for findings in self.judged if not all(finding.holds for finding in findings))

    @property
    def holds(self) -> bool:
        """Whether nothing is wrong; what was not tried is not."""
        return not self.error and not self.failed
