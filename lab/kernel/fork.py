"""Forks of a command that handles signals in Python."""

from __future__ import annotations

import os
import select
import signal
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from lab.kernel import syscalls

HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGTSTP, signal.SIGCONT)
"""Signals that the command may handle in Python: what its handlers do is not for its forked children."""

EX_TEMPFAIL = 75  # sysexits.h


def fork() -> int:
    """Fork; a Ctrl-C meanwhile waits for the parent, and later ones end the child without a word.

    Python's own handlers must not run in between: what they raise in a fork's callbacks is lost
    (`os.register_at_fork`), and what they raise in the child would run the parent's clean-ups there.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
    with warnings.catch_warnings():
        # Python 3.12 and later warn of a fork beside another thread, which a test runner's workers have: it may hold a
        # lock for ever. Nobody could do anything about it here, and our children touch nothing that threads share.
        warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        for number in HANDLED:
            if callable(signal.getsignal(number)):
                signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return pid


@contextmanager
def undisturbed() -> Iterator[Callable[[], AbstractContextManager[None]]]:
    """Let signals that would interrupt wait until the block has ended, or within it until a `with disturbed():`.

    Gives that `disturbed`. Who makes something asks for it first, and says `disturbed` where a `try` sees to the end of
    what was made: that end is then undisturbed as well.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)

    @contextmanager
    def disturbed() -> Iterator[None]:
        try:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)

    try:
        yield disturbed
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def wait(pid: int) -> int:
    """Wait for a child and return its exit status as sh(1) says it: 128 + the number of the signal that killed it."""
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return code if code >= 0 else 128 - code


def die_with(parent: int, number: int) -> None:
    """Get the signal `number` when our parent ends, of which `parent` is a pidfd; asked too late, end now."""
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, number)
    if select.select([parent], [], [], 0)[0]:
        os._exit(EX_TEMPFAIL)
    os.close(parent)
