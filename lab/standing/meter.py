"""How far something is that takes a while: whoever does it calls, whoever waits may tell."""

from __future__ import annotations

from collections.abc import Callable

Meter = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and of how much."""


def silently(_what: str, _done: int, _total: int) -> None:
    """Tell nobody how far it is: a program waits for the end."""
