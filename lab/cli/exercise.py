"""The task `exercise.verify`: prove that exercises are as they say."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any

from invoke import Context

from lab.cli.output import FAILED, clear_progress, look, progress, show, show_json
from lab.cli.task import JSON, command
from lab.errors import TopologyError


@command(
    help={
        "name": "the exercise to prove; or --all",
        "all": "all exercises of the folder, several labs at a time",
        "folder": "another folder of exercises, or one exercise's own; default: those that come along",
        "json": JSON,
    },
)
def verify(_: Context, name: str, all: bool = False, folder: str = "", json: bool = False) -> None:  # noqa: A002 - an option
    """Prove that an exercise is as it says.

    In labs of its own, which go at once. Green before the break; after it exactly
    those cells and probes red that it announces; every wrong fix stays red; every
    solution is green, twice. Exit status 1 if not.
    """
    from lab.report import verify as report
    from lab.workshop import scenes
    from lab.workshop import verify as room

    if bool(name) == all:
        raise TopologyError("expected an exercise's name, or --all", hint="invoke exercise.verify --all")
    begun = time.perf_counter()
    found = room.verify([scenes.find(name, folder)] if name else scenes.course(folder), progress)
    took_s = time.perf_counter() - begun
    clear_progress()
    if json:
        show_json(report.data(found, took_s))
    else:
        show(report.text(found, took_s, look()))
    if any(not one.holds for one in found):
        sys.exit(FAILED)


def every() -> Sequence[Any]:
    """Return this task."""
    return (verify,)
