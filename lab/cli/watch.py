"""The task `lab.watch`: what conntrack and the rules do on a lab's nodes, as it happens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from invoke import Context

from lab.cli import process
from lab.cli.output import look, note, number
from lab.cli.task import LAB, command


@command(
    iterable=["node"],
    help={
        "node": "only this node, may be given several times; default: all of them",
        "rules": "tell what the rules did with each new connection, too; --no-rules: conntrack's events alone",
        "json": "print a JSON object a line instead of text",
        "count": "end after so many events; 0: do not",
        "seconds": "end after so many seconds; 0: do not",
        "lab": LAB,
    },
)
def watch(
    _: Context,
    node: Sequence[str],
    rules: bool = True,
    json: bool = False,
    count: str = "0",
    seconds: str = "0",
    lab: str = "",
) -> None:
    """Show what rules and conntrack do, as it happens.

    Ends by Ctrl-C, or when there are enough events, or with the lab; says then how many there were, and how many the
    kernel had no room for.
    """
    from lab import words
    from lab.packets import watch as room
    from lab.standing import session

    going = room.start(
        session.attach(lab),
        node,
        look=None if json else look(unfolded=True),
        rules=rules,
        count=number("--count", count),
        seconds=number("--seconds", seconds, of=float),
    )
    try:
        note(f"watching {words.several(going.nodes, 'and')}")
        done = going.wait()
    except process.Interrupted:
        done = going.stop()
    lost = f"; {done.lost} more were lost, for the kernel had no room for them" if done.lost else ""
    note(f"saw {words.count(done.events, 'event')}{lost}{'; the lab has ended' if done.lab_ended else ''}")


def every() -> Sequence[Any]:
    """Return these tasks."""
    return (watch,)
