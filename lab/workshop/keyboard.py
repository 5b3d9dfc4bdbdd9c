"""Single keys of the terminal, without Enter; whatever ends us, the terminal is left as it was found."""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from lab.errors import TopologyError

_FD = 0


class Keys:
    """The keys that are pressed; what is waited for is its `fileno`.

    `quitting`: `q` was among those forgotten. `prompt`: what is shown again, on standard error, to who comes back with
    `fg`; "" while no key is waited for.
    """

    quitting = False
    prompt = ""

    def fileno(self) -> int:
        """Return what is readable when a key was pressed."""
        return _FD

    def pressed(self) -> str:
        """Return a key, in lower case; "" if the terminal has gone.

        What Home, an arrow or Alt sends begins with ESC, and is one key, ESC: Home's last letter is an H.
        """
        try:
            key = os.read(_FD, 1)
            if key == b"\x1b":
                _read_sequence()
        except OSError:
            return ""
        return key.decode(errors="replace").lower()

    def forget(self) -> None:
        """Forget what was pressed until now, since it was not meant for what comes, but for `q`."""
        pressed = b""
        while select.select([_FD], [], [], 0)[0]:
            try:
                more = os.read(_FD, 1024)
            except OSError:
                more = b""
            pressed += more or b"q"  # the terminal has gone
            if not more:
                break
        self.quitting = b"q" in pressed.lower()


@contextmanager
def keys() -> Iterator[Keys]:
    """Give the keys of the terminal; raises `TopologyError` if standard input is none.

    Ctrl-C and Ctrl-Z mean what they always do: who is suspended leaves the terminal as it was found, and who comes back
    from the background reads keys again.
    """
    if not sys.stdin.isatty():
        raise TopologyError("standard input is no terminal", hint="`invoke exercise.check` checks once")
    found, before = Keys(), termios.tcgetattr(_FD)

    def suspend(*_: object) -> None:
        _restore(before)
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)  # we are stopped in this line
        signal.signal(signal.SIGTSTP, suspend)

    def again(*_: object) -> None:
        with suppress(termios.error, OSError):
            if _in_front():
                tty.setcbreak(_FD, termios.TCSANOW)  # what was typed ahead is not lost
                if found.prompt:
                    os.write(2, f"{found.prompt}\n".encode())  # print() is not to be called amid a print()

    handlers = [(number, signal.getsignal(number)) for number in (signal.SIGTSTP, signal.SIGCONT)]
    try:
        signal.signal(signal.SIGCONT, again)
        if handlers[0][1] is signal.SIG_DFL:  # where it is ignored (a shell without job control), it stays so
            signal.signal(signal.SIGTSTP, suspend)
        tty.setcbreak(_FD)
        yield found
    finally:
        for number, handler in handlers:
            signal.signal(number, handler)
        _restore(before)


def _read_sequence() -> None:
    """Read what came with an ESC: `[` and all up to a letter or ~ (ECMA-48, 5.4), `O` and a letter, or a letter."""
    introducer = _waiting()
    last = _waiting() if introducer in {b"[", b"O"} else b""
    while introducer == b"[" and last and not b"@" <= last <= b"~":
        last = _waiting()


def _waiting() -> bytes:
    """Return a byte that is there to be read, or b""."""
    return os.read(_FD, 1) if select.select([_FD], [], [], 0)[0] else b""


def _in_front() -> bool:
    """Return whether the terminal is ours; `bg`, too, sends SIGCONT, and who is behind must not change its modes."""
    try:
        return os.tcgetpgrp(_FD) == os.getpgrp()
    except OSError:  # it has gone, or there is no job control on it
        return True


def _restore(before: list[Any]) -> None:
    with suppress(termios.error):  # the terminal may have gone
        if _in_front():
            termios.tcsetattr(_FD, termios.TCSADRAIN, before)
