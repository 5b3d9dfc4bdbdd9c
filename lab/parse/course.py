"""A folder of exercises to the exercises in their order, and to the mistakes of those that have some."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lab.errors import TopologyError
from lab.parse import names
from lab.parse.exercise import EXERCISE, HINT, chapter, read
from lab.parse.files import printable

if TYPE_CHECKING:
    from lab.model.exercise import Exercise

Mistaken = dict[str, tuple[str, ...]]
"""The mistakes of exercises, by their folders' places in that of all (`01-chapter/name`)."""


def course(root: Path) -> tuple[Exercise, ...]:
    """Return the exercises of a folder, NN-chapter/NAME each, in the order of chapters, then from easy to hard.

    `root` may also be one exercise's own folder. Raises `TopologyError` with every mistake of every exercise.
    """
    found, mistaken = readable(root)
    if mistaken:
        raise TopologyError([text for every in mistaken.values() for text in every], hint=HINT)
    return found


def readable(root: Path) -> tuple[tuple[Exercise, ...], Mistaken]:
    """Return those exercises of a folder that have no mistakes, in the order of `course`; and the others' mistakes.

    Raises `TopologyError` if there is none at all, good or bad.
    """
    found: list[Exercise] = []
    mistaken: Mistaken = {}
    for folder in folders(root):
        try:
            found.append(read(folder))
        except TopologyError as error:
            mistaken[place(folder)] = error.mistakes
    found.sort(key=lambda one: (one.folder.parent.name, one.spec.difficulty, one.name))
    first: dict[str, Exercise] = {}
    for one in found:
        if first.setdefault(one.name, one) is not one:
            text = f"there is an exercise {one.name} in {printable(first[one.name].folder)} already"
            mistaken[place(one.folder)] = (f"{one.source}:1:1: {text}; expected another name",)
    return tuple(first.values()), mistaken


def place(folder: Path) -> str:
    """Return what an exercise's folder is called in that of all: `01-chapter/name`."""
    whole = folder.resolve()
    return printable(Path(whole.parent.name, whole.name))


def folders(root: Path) -> list[Path]:
    """Return the folders of exercises in `root`, which may also be one of them; `TopologyError` if there is none."""
    if (root / EXERCISE).is_file():
        return [root]
    try:
        chapters = sorted(place for place in root.iterdir() if chapter(place.name) and place.is_dir())
    except OSError as error:
        raise TopologyError(
            f"{printable(root)}: {error.strerror}",
            hint="a folder of exercises is named by --folder, or by HAIRPIN_EXERCISES",
        ) from None
    found = [
        place for one in chapters for place in sorted(one.iterdir()) if names.label(place.name) is None
        if place.is_dir()
    ]  # fmt: skip
    if not found:
        raise TopologyError(f"{printable(root)}: there is no exercise here; expected NN-chapter/NAME/{EXERCISE}")
    return found
