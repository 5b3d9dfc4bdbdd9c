"""Exams: which exercises, and what one comes to."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence

from lab.model.progress import ExamItem, Row


def drawn(rows: Sequence[Row], count: int, seed: int) -> tuple[ExamItem, ...]:
    """Return `count` exercises of `rows`, in the course's order, from as many chapters as there are.

    Each has a seed of its own; the same `seed` draws the same.
    """
    chance = random.Random(seed)  # noqa: S311 - a draw, not a secret
    chapters: dict[str, list[Row]] = defaultdict(list)
    for row in chance.sample(rows, len(rows)):
        chapters[row.chapter].append(row)
    chosen: list[Row] = []
    while len(chosen) < min(count, len(rows)):
        left = [chapter for chapter in chapters.values() if chapter]
        chosen += [chapter.pop() for chapter in chance.sample(left, min(len(left), count - len(chosen)))]
    order = {row.name: number for number, row in enumerate(rows)}
    chosen.sort(key=lambda row: order[row.name])
    return tuple(ExamItem(exercise=row.name, seed=chance.randrange(1 << 32)) for row in chosen)
