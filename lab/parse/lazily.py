"""A sequence whose items are made when somebody looks at them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar, overload

Item = TypeVar("Item")


class Lazily(Sequence[Item]):
    """What `make` returns of each of `raw`, made once; looking at an item raises what `make` raises.

    The one class that inherits: whoever takes a Sequence need not know that this one is not made yet.
    """

    __slots__ = ("_made", "_make", "_raw")

    def __init__(self, raw: Sequence[Any], make: Callable[[Any], Item]) -> None:
        self._raw, self._make = raw, make
        self._made: dict[int, Item] = {}

    def __len__(self) -> int:
        """Return how many items there are, made or not."""
        return len(self._raw)

    @overload
    def __getitem__(self, at: int) -> Item: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Item]: ...
    def __getitem__(self, at: int | slice) -> Item | Sequence[Item]:
        """Return the item at a place, or those of a slice."""
        if isinstance(at, slice):
            return [self[number] for number in range(*at.indices(len(self)))]
        number = at if at >= 0 else len(self._raw) + at
        if number not in self._made:
            self._made[number] = self._make(self._raw[number])
        return self._made[number]
