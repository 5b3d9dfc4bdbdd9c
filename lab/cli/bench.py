"""The tasks `bench.*`: measure, each beside the bare tool and in the same run."""

from __future__ import annotations

import runpy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from invoke import Context

import lab
from lab.cli.output import number
from lab.cli.task import command
from lab.errors import HostError, TopologyError

_FOLDER = Path(lab.__file__).parents[1] / "benchmarks"


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
    _run("up.py", pods, _rounds(rounds), out, only)


@command(
    help={
        "services": "how many Services there are, with four endpoints each; several after commas",
        "rounds": "how often each is done; the two ways take turns, and the medians are compared",
        "out": "the file to write the results to, as JSON; default: benchmarks/results/rules.json",
        "only": "a part alone: load, change, memory or yaml",
    },
)
def rules(_: Context, services: str = "1000,5000,10000", rounds: str = "5", out: str = "", only: str = "") -> None:
    """Measure how fast objects become rules in the kernel.

    Beside it, in the same run, iptables-restore and nft load the same rules as they are. Of several numbers of Services
    it says how much longer each takes among the most than among the fewest.
    """
    _run("rules.py", services, _rounds(rounds), out, only)


@command(
    help={
        "rounds": "how often each is done; traced and untraced take turns, and the medians are compared",
        "out": "the file to write the results to, as JSON; default: benchmarks/results/trace.json",
        "only": "a part alone: requests, journey or memory",
    },
)
def trace(_: Context, rounds: str = "20", out: str = "", only: str = "") -> None:
    """Measure what it costs to trace a request.

    Beside it, in the same run, the same request is made untraced.
    """
    _run("trace.py", _rounds(rounds), out, only)


def _rounds(text: str) -> int:
    rounds = number("--rounds", text)
    if rounds < 1:
        raise TopologyError(f"--rounds {rounds}: expected at least 1")
    return rounds


def _run(script: str, *arguments: Any) -> None:  # noqa: ANN401 - what the script's main takes
    file = _FOLDER / script
    if not file.exists():
        raise HostError(
            f"benchmarks/{script} is not here", hint="benchmarks are part of a checkout, not of the package"
        )
    runpy.run_path(str(file))["main"](*arguments)


def every() -> Sequence[Any]:
    """Return the tasks of this collection."""
    return (up, rules, trace)
