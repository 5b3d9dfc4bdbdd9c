"""The task `exercise.watch`: check whenever something was changed; keys do the rest."""

from __future__ import annotations

import select
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from invoke import Context

from lab.cli import course, learn
from lab.cli.output import clear_progress, note, progress
from lab.cli.task import command
from lab.errors import KernelError, LabError

if TYPE_CHECKING:
    from lab.workshop.attempts import Sitting
    from lab.workshop.changes import Changes
    from lab.workshop.keyboard import Keys


T = TypeVar("T")

_IN_STATE = {"links", "rules"}
"""Of these changes a lab's state tells whether they have left anything."""

_KEYS = {"n", "h", "l", "r", "x", "q", "\x04", ""}
"""Keys that mean something, and others do nothing; the last ones are Ctrl-D, and that the terminal has gone."""

_QUIET_S = 0.4
"""A command often changes several things: it is checked when there was no change for so long, in seconds."""


@command()
def watch(_: Context) -> None:
    """Check the present exercise whenever something changes.

    What changes rules, links, routes, sysctls or flows in the lab, from whatever
    terminal. Keys: n next, h hint, l list, r check now, x reset, q quit.
    """
    from lab.workshop import attempts, keyboard

    sitting: Sitting | None = attempts.present(course.at(going_on=True))
    with keyboard.keys() as keys:
        while sitting:
            sitting = _listened(sitting, keys)


def _listened(sitting: Sitting, keys: Keys) -> Sitting | None:
    """Attend to one exercise, and say what comes next if its lab ends meanwhile."""
    from lab.workshop import attempts, changes

    try:
        with changes.Changes(sitting.standing) as heard:
            if heard.unheard():
                note("what iptables-legacy changes is not noticed without root: press r after it")
            return _attend(heard, keys)
    except LabError:
        if not sitting.standing.record.keeper.alive:  # whoever leaves the block has waited for its end
            attempts.note(sitting.attempt, lambda found: found)  # says so if another command has ended it
            attempts.present(course.at(going_on=True))  # says so if not, and what is next, as a check does
        raise


def _attend(heard: Changes, keys: Keys) -> Sitting | None:
    """Check one exercise until a key leads to another sitting, which is returned, or to the end: None."""
    solved, state = _check(heard), heard.state()
    while not keys.quitting:
        keys.prompt = _prompt(solved=solved)
        note(keys.prompt)
        happened = _waited(heard, keys, state)
        keys.prompt = ""
        match happened:
            case "q" | "" | "\x04":
                return None
            case frozenset() as kinds:
                note(f"{' and '.join(sorted(kinds))} changed")
                solved, state = _check(heard), heard.state()
                keys.forget()
            case "r":
                solved, state = _check(heard), heard.state()
                keys.forget()
            case "l":
                _tried(partial(course.show_course, going_on=True))
            case "h":
                _tried(_hint)
            case "x" | "n" as key if key == "x" or solved:
                other = _tried(_reset if key == "x" else _next)
                keys.forget()
                if other:
                    return other
            case "n":
                note("not solved yet; `invoke exercise.next --skip` leaves it")
    return None


def _prompt(*, solved: bool) -> str:
    at = _tried(partial(course.at, going_on=True))
    hints = at is not None and at.progress.exam is None
    keys = ["n next"] * solved + ["h hint"] * hints + ["l list", "r check now", "x reset", "q quit"]
    return f"\n[{'  '.join(keys)}]"


def _waited(heard: Changes, keys: Keys, state: str) -> frozenset[str] | str:
    """Wait for a key that means something, or for changes that have left something: of what kinds they are.

    Raises `LabError` if nothing more is heard, as when the lab has ended.
    """
    sources: list[Keys | Changes] = [keys, heard]
    while True:
        if heard in select.select(sources, [], [])[0]:
            kinds = _changed(heard)
            if kinds is None:
                raise KernelError("what listens inside the lab has ended", hint="begin again: invoke exercise.watch")
            if not kinds <= _IN_STATE or heard.state() != state:  # not just kube-proxy's writing the same rules anew
                return kinds
        elif (key := keys.pressed()) in _KEYS:
            return key


def _changed(heard: Changes) -> frozenset[str] | None:
    """Return what has changed when nothing more changes for a moment; None if the lab has ended."""
    kinds: frozenset[str] = frozenset()
    while True:
        new = heard.heard()
        if new is None:
            return None
        kinds |= new
        if not select.select([heard], [], [], _QUIET_S)[0]:
            return kinds


def _check(heard: Changes) -> bool:
    """Check, and once more if somebody changed something meanwhile; return whether the exercise is solved."""
    solved = False
    for _ in range(2):
        heard.heard()
        before = heard.state()
        note("checking ...")
        solved = _tried(_verdict) or False
        meanwhile = heard.heard() or frozenset()
        # kube-proxy writes its rules anew in each check: what counts is whether all is as it was.
        if "sysctls" not in meanwhile and heard.state() == before:
            break
        note("something was changed meanwhile")
    return solved


def _tried(deed: Callable[[], T]) -> T | None:
    """Return what a deed returns; None if it could not be done, which was said."""
    try:
        return deed()
    except LabError as error:
        clear_progress()
        note(f"error: {error}")
        return None


def _verdict() -> bool:
    from lab.workshop import attempts, learner

    at = course.at(going_on=True)
    sitting = attempts.present(at)
    verdict, found = learner.check(sitting, progress)
    clear_progress()
    learn.show_verdict(at, sitting, verdict, found, bad_only=True)
    return verdict.holds


def _hint() -> None:
    learn.show_hint(course.at(going_on=True), None)


def _reset() -> Sitting:
    from lab.workshop import attempts

    note("building the lab anew ...")
    return learn.show_sitting(attempts.reset(course.at(going_on=True), progress))


def _next() -> Sitting | None:
    return learn.go_on(course.at(going_on=True), skip=False)


def every() -> Sequence[Any]:
    """Return this task."""
    return (watch,)
