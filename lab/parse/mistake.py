"""Mistakes: what is wrong with a user's text, where, what was expected, and the nearest valid spelling."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lab import words

if TYPE_CHECKING:
    from collections.abc import Iterable

Path = tuple[str | int, ...]

LAB = -1  # the Lab document's number; the other objects count from 0
SHOWN = 100  # mistakes of one file that are kept; the others are counted
SHORT = 60  # characters of a value that are shown
_WORD = 64  # characters of a misspelt word that are compared with the valid ones
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


@dataclass(frozen=True, kw_only=True, slots=True)
class Mistake:
    """One mistake in the object number `at`.

    `path` leads from the object's root to the value; `key` says that the field's name is meant, not its value.
    `certain` is false for what may only follow from another mistake of the file, such as a name that is not found.
    """

    at: int
    path: Path
    text: str
    key: bool = False
    certain: bool = True


@dataclass(slots=True)
class Mistakes:
    """A collector: keeps the first `SHOWN` mistakes and counts the others.

    `lenient`: only types are judged, as the objects of a cluster are by kube-proxy: fields that nobody knows are
    `strays`, each with the fields it might have been, and addresses may have leading zeros. `indices`: which items are
    left of lists that lost some, by object and path.
    """

    kept: list[Mistake] = field(default_factory=list)
    more: int = 0
    lenient: bool = False
    strays: list[tuple[Path, tuple[str, ...]]] = field(default_factory=list)
    indices: dict[int, dict[Path, list[int]]] = field(default_factory=dict)

    def add(self, at: int, path: Path, text: str, *, key: bool = False, certain: bool = True) -> None:
        """Keep a mistake, or only count it when there are many already."""
        if self.full:
            self.more += 1
        else:
            self.kept.append(Mistake(at=at, path=path, text=text, key=key, certain=certain))

    def follow(self, others: Iterable[Mistake]) -> None:
        """Keep mistakes of what is left of objects, but for those that may follow from one that is kept already.

        Their paths count the items that are left; they get the places of the items in the file.
        """
        before = tuple(self.kept)
        for one in others:
            path = self._original(one.at, one.path)
            if not any(other.at == one.at and _overlap(path, other.path) for other in before):
                self.add(one.at, path, one.text, key=one.key)

    def _original(self, at: int, path: Path) -> Path:
        lost = self.indices.get(at, {})
        found: Path = ()
        for step in path:
            left = lost.get(found)
            found = (*found, left[step] if left and isinstance(step, int) and step < len(left) else step)
        return found

    @property
    def full(self) -> bool:
        """Whether further mistakes are only counted, so that no time need go into their texts."""
        return len(self.kept) >= SHOWN


def _overlap(one: Path, other: Path) -> bool:
    """Return whether one path leads to a part of what the other leads to."""
    return all(mine == theirs for mine, theirs in zip(one, other, strict=False))


def show(value: object) -> str:
    """Return `value` as one short line: strings quoted, with control characters escaped, and cut."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a mapping" if value else "an empty mapping"
    if isinstance(value, (list, tuple)):
        return "a list" if value else "an empty list"
    if isinstance(value, str):
        return repr(value) if len(value) <= SHORT else f"{value[: SHORT - 20]!r}... ({len(value)} characters)"
    text = str(value)
    return text if len(text) <= SHORT else f"{text[: SHORT - 20]}... ({len(text)} characters)"


def show_path(path: Path) -> str:
    """Return a path as `spec.ports[0].targetPort`; keys that are not plain words are quoted in brackets."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif _PLAIN_KEY.fullmatch(step):
            text += f".{step}" if text else step
        else:
            text += f"[{show(step)}]"
    return text


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the known word that is spelt most like `word`, whatever its case, or "" if none is near."""
    from difflib import get_close_matches  # noqa: PLC0415 - only a mistake needs it

    spellings = {name.lower(): name for name in known}
    found = get_close_matches(word[:_WORD].lower(), spellings, n=1, cutoff=0.6)
    return spellings[found[0]] if found else ""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean X?`, or "" when nothing is near."""
    near = nearest(word, known)
    return f"; did you mean {near}?" if near else ""


def listed(items: Iterable[str], *, most: int = 12, last: str = "or") -> str:
    """Return the items as `a, b or c` (with `last` before the last one); after `most` only how many more there are."""
    every = list(items)
    if len(every) > most:
        return f"{', '.join(every[:most])} ... ({len(every) - most} more)"
    return words.several(every, last) or "none"
