"""The command line: invoke's tasks, which parse arguments, call the rooms that do the work, and print."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from invoke import Collection, ParseError, Parser, Program

import lab
from lab.cli import (
    attend,
    bench,
    capture,
    course,
    exercise,
    foreign,
    gallery,
    graph,
    inside,
    labs,
    learn,
    objects,
    proxy,
    results,
    rules,
    trace,
    watch,
)

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
namespace.add_collection(
    Collection("exercise", *course.every(), *learn.every(), *attend.every(), *results.every(), *exercise.every())
)
namespace.add_collection(Collection("bench", *bench.every()))
namespace.add_collection(Collection("proxy", *proxy.every()))


OR_ALL = "exercise.verify"
"""The task whose argument may be left out: it says itself whether it can do without."""


def main() -> NoReturn:
    """Run the console script `hairpin`: the same tasks, from any folder."""
    program = Program(name="hairpin", binary="hairpin", namespace=namespace, version=lab.__version__)
    program.run([sys.argv[0], "--write-pyc", *_as_invoke_wants(sys.argv[1:])])  # see tasks.py
    sys.exit(0)


def mind_help() -> None:
    """Start this `invoke` again with the words that it wants, if others were typed."""
    words = sys.argv[1:]
    if words != _as_invoke_wants(words):
        begin = sys.orig_argv[1 : len(sys.orig_argv) - len(words)]
        os.execv(sys.executable, [sys.executable, *begin, *_as_invoke_wants(words)])  # noqa: S606 - no shell


_ABOUT = {"-l", "--list", "-h", "--help", "--complete"}


def _as_invoke_wants(words: Sequence[str]) -> list[str]:
    """Return a command line as invoke understands it.

    `exercise` alone is a task: invoke's own way, a default task of the collection, makes its list too wide to be read.
    --help goes before the task: behind it invoke takes it for an argument that is still missing. And no argument may be
    missing that has no flag: one that may be left out is empty then.
    """
    if words[-1:] == ["exercise"] and not any(word in namespace.task_names or word in _ABOUT for word in words):
        return [*words[:-1], "exercise.resume"]
    first = next((number for number, word in enumerate(words) if word in namespace.task_names), len(words))
    if "--help" in words[first:]:
        return [*words[:first], "--help", words[first]]
    if words[first : first + 1] == [OR_ALL] and not _ABOUT & set(words) and _lacks_an_argument(words[first:]):
        return [*words[: first + 1], "", *words[first + 1 :]]
    return list(words)


def _lacks_an_argument(words: Sequence[str]) -> bool:
    """Return whether invoke would refuse these words, from a task's name on, since an argument without a flag lacks."""
    try:
        Parser(contexts=namespace.to_contexts()).parse_argv(list(words))
    except ParseError as error:
        return error.context is not None and bool(error.context.missing_positional_args)
    return False
