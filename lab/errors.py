"""What can go wrong, by whose fault: the only exceptions that a caller of Hairpin meets.

LabError
 +-- TopologyError   your file or your argument: what is wrong, where, and what was expected
 +-- HostError       your machine: a tool, a kernel feature or a permission that it lacks
 +-- KernelError     the kernel's (or a tool's) refusal of something that we asked for

A failed expectation is not an exception but a `lab.model.finding.Finding`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class LabError(Exception):
    """Something that the user can act on: `message` says what, `hint` says the next move."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        """Keep `message` (one or more lines, no full stop needed) and `hint` (may be empty)."""
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        """Return the message, and the hint on a line of its own."""
        return f"{self.message}\n  hint: {self.hint}" if self.hint else self.message


class TopologyError(LabError):
    """A topology, an object or a name that cannot be used: all mistakes of the input at once."""

    def __init__(self, mistakes: Sequence[str] | str, *, hint: str = "") -> None:
        """Keep each mistake as one text, such as `lab.yaml:7:3: spec.nods: unknown field ...`."""
        self.mistakes = (mistakes,) if isinstance(mistakes, str) else tuple(mistakes)
        super().__init__("\n".join(self.mistakes), hint=hint)


class HostError(LabError):
    """The machine lacks something: a program, a kernel feature, a permission."""


class KernelError(LabError):
    """The kernel, or a tool that speaks to it, refused: what was asked, where, and its answer."""
