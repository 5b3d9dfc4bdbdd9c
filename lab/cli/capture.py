"""The task `lab.capture`: the packets of a lab, on the terminal or in a file."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from invoke import Context

from lab.cli import process
from lab.cli.output import note, number
from lab.cli.task import LAB, PLACE, command
from lab.errors import TopologyError


@command(
    iterable=["target"],
    help={
        "target": f"where to look, may be given several times; {PLACE}; or all of them: all",
        "write": "a new file for the packets, as pcapng, which Wireshark opens; - for standard output; default: lines",
        "count": "end after so many packets; 0: do not",
        "seconds": "end after so many seconds; 0: do not",
        "filter": "only these packets, as tcpdump understands it: 'tcp port 80 and host web-1'",
        "lab": LAB,
    },
)
def capture(
    _: Context,
    target: Sequence[str],
    write: str = "",
    count: str = "0",
    seconds: str = "0",
    filter: str = "",  # noqa: A002 - the option's name
    lab: str = "",
) -> None:
    """Show packets as they pass, or write them to a file.

    Ends by Ctrl-C, or when there are enough of them, or with the lab; says then how many there were, and how many the
    kernel had no room for.
    """
    from lab import words
    from lab.packets import capture as room
    from lab.standing import session

    if write == room.STDOUT and sys.stdout.isatty():
        raise TopologyError("--write -: that is your terminal", hint="pipe it: ... --write - | wireshark -k -i -")
    enough = number("--count", count)
    going = room.start(
        session.attach(lab),
        target,
        write=write,
        expression=filter,
        count=enough,
        seconds=number("--seconds", seconds, of=float),
    )
    try:
        note(f"capturing on {words.several(going.where, 'and')}")
        done = going.wait()
    except process.Interrupted:
        done = going.stop()
    lost = f"; {done.dropped} more were lost, for the kernel had no room for them" if done.dropped else ""
    note(f"captured {words.count(done.packets, 'packet')}{lost}{'; the lab has ended' if done.lab_ended else ''}")


def every() -> Sequence[Any]:
    """Return these tasks."""
    return (capture,)
