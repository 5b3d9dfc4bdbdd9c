"""A process of ours at work inside a lab's capsule, until it is told to end, has done enough, or the lab ends."""

from __future__ import annotations

import mmap
import signal
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from lab.errors import TopologyError
from lab.kernel import join
from lab.kernel.capsule import Keeper

READY, END = b"r", b"e"
"""What the control socket carries: that the work has begun, and that it is to end."""

_PATIENCE_S = 5.0  # for the process inside to write what it has, when told to end: its reader may have stopped reading


def check_enough(count: int, seconds: float, *, of: str) -> None:
    """Raise `TopologyError` if the numbers that say when it is enough make no sense; `of`: what is counted."""
    mistakes = [text for text, wrong in (
        (f"--count {count}: expected 0, for all, or how many {of}", count < 0),
        (f"--seconds {seconds}: expected 0, for no end, or how long", not 0 <= seconds < float("inf")),
    ) if wrong]  # fmt: skip
    if mistakes:
        raise TopologyError(mistakes)


class Tally:
    """Counts that outlive the process that keeps them: shared memory of two processes."""

    _FORM = struct.Struct("=QQQ")

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, self._FORM.size)

    def keep(self, seen: int, lost: int, written: int) -> None:
        """Note how many packets or events there were, how many more were lost, and how many bytes were written."""
        self._FORM.pack_into(self._memory, 0, seen, lost, written)

    @property
    def seen(self) -> int:
        """How many were written."""
        return self._at(0)

    @property
    def lost(self) -> int:
        """How many the kernel had no room for."""
        return self._at(1)

    @property
    def written(self) -> int:
        """How many bytes of whole blocks, or lines."""
        return self._at(2)

    def _at(self, number: int) -> int:
        return int(self._FORM.unpack_from(self._memory)[number])


class Running:
    """Work under way. It is given a control socket, on which it says `READY`, and is told to end."""

    def __init__(self, keeper: Keeper, work: Callable[[socket.socket], None]) -> None:
        """Begin, and return when it is ready; what it raises before is raised here."""
        self._ours, theirs = socket.socketpair()
        with theirs:
            self._call = join.Call(keeper, partial(_attend, work, theirs))
        try:
            if not self._ours.recv(1):
                self._call.result()  # raises what went wrong
        except BaseException:
            self._ours.close()
            self._call.kill()
            raise

    def wait(self) -> bool:
        """Return when it has done enough, or the lab has ended: whether that is so."""
        try:
            self._call.result()
        except join.GoneError:
            return True
        finally:
            if self._call.over(0):
                self._ours.close()
        return False

    def stop(self) -> bool:
        """Tell it to end, and return what `wait` does."""
        with suppress(OSError):  # it has just ended
            self._ours.send(END)
        if not self._call.over(_PATIENCE_S):
            self._call.kill()
            self._ours.close()
            return False
        return self.wait()


def _attend(work: Callable[[socket.socket], None], control: socket.socket) -> None:
    """Inside the capsule: do the work; signals of the terminal are for our parent, which tells us."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    with suppress(BrokenPipeError):  # its reader has seen enough
        work(control)
