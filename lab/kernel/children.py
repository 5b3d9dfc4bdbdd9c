"""Work for several processes: functions of ours in forked children, a few at a time."""

from __future__ import annotations

import os
import pickle
import select
import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import NoReturn, TypeVar, cast

from lab.errors import KernelError, LabError
from lab.kernel.fork import HANDLED, die_with, fork, undisturbed

T = TypeVar("T")


class Told(BaseException):
    """A child was told to end: what it has begun is to be cleaned up on the way out."""


def each(work: Sequence[Callable[[], T]], *, at_once: int, done: Callable[[int, T], None]) -> list[T]:
    """Run each function in a child of its own, `at_once` of them at a time, and return their (pickled) results.

    `done` is called with the number and the result of each as it ends. What a function raises is raised here. When this
    is left early the children that still run get `Told`, and are waited for: they clean up. So do they when we are
    killed.
    """
    results: dict[int, T] = {}
    running: dict[int, _Child] = {}
    poll = select.poll()
    waiting = list(enumerate(work))[::-1]
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                _start(*waiting.pop(), running, poll)
            for fd, _ in poll.poll():
                if (child := running[fd]).more():
                    continue
                poll.unregister(fd)
                del running[fd]
                results[child.number] = cast("T", child.result())
                done(child.number, results[child.number])
    finally:
        _end(running.values())
    return [results[number] for number in range(len(work))]


class _Child:
    """A child that runs, and our end of the pipe that its result comes through."""

    def __init__(self, number: int, pid: int, pipe: int) -> None:
        self.number = number
        self.pid = pid
        self.pipe = pipe
        self._raw = bytearray()

    def more(self) -> bool:
        """Take in what came; False at its end."""
        piece = os.read(self.pipe, 1 << 20)
        self._raw += piece
        return bool(piece)

    def result(self) -> object:
        """Wait for the child's end, and return what its function returned, or raise what that raised."""
        os.close(self.pipe)
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        if not self._raw:
            raise KernelError(f"a process of ours ended before its work was done (exit {code})")
        succeeded, result = pickle.loads(self._raw)  # noqa: S301 - our own child wrote it
        if not succeeded:
            raise result
        return result


def _start(number: int, function: Callable[[], object], running: dict[int, _Child], poll: select.poll) -> None:
    us = os.pidfd_open(os.getpid())
    ours, theirs = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    with undisturbed():  # until the child is known, and until it can clean up
        pid = fork()
        if pid == 0:
            _work(function, us, theirs)
        running[ours] = _Child(number, pid, ours)
    os.close(theirs)
    os.close(us)
    poll.register(ours, select.POLLIN)


def _work(function: Callable[[], object], parent: int, pipe: int) -> NoReturn:
    """In the child: run the function, send what it returns or raises, and leave without the parent's clean-ups."""
    try:
        os.setpgid(0, 0)  # Ctrl-C is for the parent, which tells us
        signal.signal(signal.SIGTERM, _tell)
        die_with(parent, signal.SIGTERM)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)
        try:
            answer: tuple[bool, object] = (True, function())
        except Exception as error:  # noqa: BLE001 - the parent raises it again
            if not isinstance(error, LabError):
                error.add_note("in a child:\n" + traceback.format_exc())
            answer = (False, error)
        with os.fdopen(pipe, "wb") as end:
            end.write(pickle.dumps(answer))
    except Told:
        pass
    except BaseException:  # noqa: BLE001 - nothing may return into the parent's code
        traceback.print_exc()
    finally:
        os._exit(0)


def _tell(_number: int, _frame: object) -> NoReturn:
    """Tell the function once: a second time must not interrupt its cleaning up."""
    signal.signal(signal.SIGTERM, lambda _number, _frame: None)
    raise Told


def _end(children: Iterable[_Child]) -> None:
    """Tell children to end, and wait until they have."""
    with undisturbed():
        left = list(children)
        for child in left:
            with suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGTERM)
        for child in left:
            os.close(child.pipe)
            os.waitpid(child.pid, 0)
