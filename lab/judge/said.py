"""What a finding says: which part of an expectation, what was expected, what was observed, whether that holds."""

from __future__ import annotations

Said = tuple[str, str, str, bool]
