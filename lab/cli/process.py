"""What a command expects of its own process, whoever started it."""

from __future__ import annotations

import os
import signal
import sys
from typing import NoReturn

_INTERRUPTIONS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(KeyboardInterrupt):
    """The command shall end: Ctrl-C, SIGTERM, or SIGHUP since its terminal has gone."""

    def __init__(self, number: int) -> None:
        """Keep the signal's number."""
        super().__init__()
        self.number = number


def settle() -> None:
    """Have three standard files, children that can be waited for, and end by an exception, so that we clean up."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:  # closed: the next file that we open would take its place
            _stand_in(number, name)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # where it is ignored, no exit status can be had (wait(2))
    for each in _INTERRUPTIONS:
        if signal.getsignal(each) in (signal.SIG_DFL, signal.default_int_handler):  # not if ignored: nohup(1)
            signal.signal(each, _interrupt)


def _stand_in(number: int, name: str) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, number)
    if null != number:
        os.close(null)
    os.set_inheritable(number, True)  # noqa: FBT003 - os's own signature
    setattr(sys, name, os.fdopen(number, "w" if number else "r", encoding="utf-8", closefd=False))


def _interrupt(number: int, _frame: object) -> NoReturn:
    """Interrupt once: a second Ctrl-C must not interrupt the cleaning up after the first."""
    for each in _INTERRUPTIONS:
        # Not SIG_IGN: of one that is here already, but not yet handled, the interpreter would complain.
        signal.signal(each, lambda _number, _frame: None)
    raise Interrupted(number)
