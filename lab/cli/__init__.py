"""The command line: invoke's tasks, which parse arguments, call the rooms that do the work, and print."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from invoke import Collection, Program

import lab
from lab.cli import bench, capture, foreign, gallery, graph, inside, labs, objects, proxy, rules, trace, watch

namespace = Collection()
namespace.add_collection(
    Collection(
        "lab",
        *labs.every(),
        *inside.every(),
        *capture.every(),
        *trace.every(),
        *watch.every(),
        *graph.every(),
        *objects.every(),
        *rules.every(),
        *foreign.every(),
        *gallery.every(),
    )
)
namespace.add_collection(Collection("bench", *bench.every()))
namespace.add_collection(Collection("proxy", *proxy.every()))


def main() -> NoReturn:
    """Run the console script `hairpin`: the same tasks, from any folder."""
    program = Program(name="hairpin", binary="hairpin", namespace=namespace, version=lab.__version__)
    program.run([sys.argv[0], "--write-pyc", *_help_first(sys.argv[1:])])  # see tasks.py
    sys.exit(0)


def mind_help() -> None:
    """Start this `invoke` again with --help before the task, if it was typed behind."""
    words = sys.argv[1:]
    if words != _help_first(words):
        begin = sys.orig_argv[1 : len(sys.orig_argv) - len(words)]
        os.execv(sys.executable, [sys.executable, *begin, *_help_first(words)])  # noqa: S606 - no shell


def _help_first(words: Sequence[str]) -> list[str]:
    """Return what asks for a task's help the way invoke wants it, if --help stands behind the task.

    There invoke takes it for an argument that is still missing.
    """
    first = next((number for number, word in enumerate(words) if word in namespace.task_names), len(words))
    return [*words[:first], "--help", words[first]] if "--help" in words[first:] else list(words)
