"""The task `bench.*`: measure, beside iproute2 and in the same run."""

from __future__ import annotations

import runpy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from invoke import Context  # noqa: TC002 - invoke reads the annotation

import lab
from lab.cli.labs import command
from lab.cli.output import number
from lab.errors import HostError

_SCRIPT = Path(lab.__file__).parents[1] / "benchmarks" / "up.py"


@command(
    help={
        "pods": "how many pods to build, several after commas",
        "rounds": "how often each is done; the two ways take turns, and the medians are compared",
        "out": "the file to write the results to, as JSON; default: benchmarks/results/up.json",
        "only": "a part alone: build, commands or memory",
    },
)
def up(_: Context, pods: str = "4,50,200,500", rounds: str = "5", out: str = "", only: str = "") -> None:
    """Measure how fast labs stand, and how much they take.

    Beside it, in the same run, an `ip -batch` script makes the same links.
    """
    if not _SCRIPT.exists():
        raise HostError("benchmarks/up.py is not here", hint="benchmarks are part of a checkout, not of the package")
    runpy.run_path(str(_SCRIPT))["main"](pods, number("--rounds", rounds), out, only)


def every() -> Sequence[Any]:
    """Return the tasks of this collection."""
    return (up,)
