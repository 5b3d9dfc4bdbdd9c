"""Forks of a command that handles signals in Python."""

from __future__ import annotations

import os
import signal

HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCONT)
"""Signals that the command may handle in Python: what its handlers do is not for its forked children."""


def fork() -> int:
    """Fork; a Ctrl-C meanwhile waits for the parent, and later ones end the child without a word.

    Python's own handlers must not run in between: what they raise in a fork's callbacks is lost
    (`os.register_at_fork`), and what they raise in the child would run the parent's clean-ups there.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
    pid = os.fork()
    if pid == 0:
        for number in HANDLED:
            if callable(signal.getsignal(number)):
                signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return pid


def wait(pid: int) -> int:
    """Wait for a child and return its exit status as sh(1) says it: 128 + the number of the signal that killed it."""
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return code if code >= 0 else 128 - code
