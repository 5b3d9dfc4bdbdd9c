"""As a program: interrupt each line that makes a lab and ends it, one a lab; print what stays, and how many there are.

It is a program of its own, for an exception that a trace function raises unsettles the interpreter (sys.settrace), and
a test runner has threads, of which each may get the signal.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self
from unittest.mock import patch

from lab import catalogue
from lab.cli import process
from lab.kernel import capsule, fork, join, syscalls
from lab.standing import session, state

if TYPE_CHECKING:
    from types import FrameType

    from _typeshed import TraceFunction

FILES = frozenset({capsule.__file__, fork.__file__, session.__file__, state.__file__})
PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
PATIENCE_S = 2.0
"""How long to wait for the lock, in seconds: nobody else holds it."""


class Interruption:
    """Sends us SIGINT at the line of that `number`, counted from 1, that runs in one of the files."""

    def __init__(self, number: int) -> None:
        self.left = number
        self.line = ""
        self.pid = os.getpid()  # not our children

    def __enter__(self) -> Self:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        process.settle()
        sys.settrace(self._trace)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)

    def _trace(self, frame: FrameType, event: str, _argument: object) -> TraceFunction | None:
        if frame.f_code.co_filename not in FILES or os.getpid() != self.pid:
            return None
        if event == "line":
            self.left -= 1
            if not self.left:
                self.line = f"{frame.f_code.co_filename}:{frame.f_lineno}"
                signal.raise_signal(signal.SIGINT)
        return self._trace


def tell(line: str) -> None:
    """Write a line to standard output."""
    sys.stdout.write(line + "\n")


def children() -> list[int]:
    """Return the PIDs of our children."""
    return [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]


def main() -> None:
    """Interrupt one line after the other, until there is none left."""
    syscalls.prctl(PR_SET_CHILD_SUBREAPER, 1)  # a keeper is then a child of ours
    cluster = catalogue.choose("one-node").cluster
    folder = state.root()
    for number in itertools.count(1):
        with (
            suppress(process.Interrupted),
            Interruption(number) as interruption,
            session.passing(cluster, name="x", source="test"),
        ):
            signal.raise_signal(signal.SIGINT)  # at the latest
        for pid in children():
            if capsule.identify(pid):
                tell(f"{interruption.line}: {Path(f'/proc/{pid}/cmdline').read_text()!r} still runs")
        for left in sorted(folder.rglob("*")):
            tell(f"{interruption.line}: {left} is left")
        session.rows()  # removes it
        if interruption.left > 0:
            tell(str(number))
            break


if __name__ == "__main__":
    with patch.object(join, "call", lambda *_: None), patch.object(state, "PATIENCE_S", PATIENCE_S):  # builds nothing
        main()
