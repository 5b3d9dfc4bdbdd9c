"""Hear of it when somebody changes a lab by hand: a process inside the capsule listens, and tells by a pipe."""

from __future__ import annotations

import hashlib
import os
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Self

from lab.kernel import changes, netns
from lab.packets.running import READY, Running
from lab.standing.session import Standing

KINDS: dict[str, changes.Kind] = {"l": "links", "r": "rules", "s": "sysctls", "f": "flows"}
"""What is told of, by the letter that stands for it in the pipe."""

_LOOK_S = 1.0
"""How often to look, in seconds, at what the kernel does not tell of (the rules of iptables-legacy)."""


class Changes:
    """Changes of a lab, as they are heard; a context, which ends it."""

    def __init__(self, standing: Standing) -> None:
        """Begin, and return when it listens; raises `LabError` if it cannot."""
        self._lab = standing
        self._read, write = os.pipe()
        os.set_blocking(self._read, False)
        try:
            self._running = Running(standing.record.keeper, partial(_work, write))
        except BaseException:
            os.close(self._read)
            raise
        finally:
            os.close(write)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._read)
        self._running.stop()

    def fileno(self) -> int:
        """Return what is readable when something was changed, or the lab has ended."""
        return self._read

    def heard(self) -> frozenset[changes.Kind] | None:
        """Return what has changed since this was last asked; None: the lab has ended."""
        told = b""
        with suppress(BlockingIOError):
            while piece := os.read(self._read, 1 << 16):
                told += piece
            return None
        return frozenset(KINDS[letter] for letter in told.decode())

    def unheard(self) -> bool:
        """Return whether it would not be heard if rules of iptables-legacy were changed."""
        return self._lab.call(_unheard)

    def state(self) -> str:
        """Return a digest of all links, addresses, routes and rules as they are now."""
        return hashlib.sha256(self._lab.call(_state).encode()).hexdigest()


def _work(write: int, control: socket.socket) -> None:
    """Inside the capsule: listen until told to end, and write a letter for each kind of change."""
    with changes.Changes(_namespaces()) as listening:
        control.send(READY)
        next_look = 0.0
        while not changes.wait(listening, control, _LOOK_S):
            kinds = listening.heard()
            if time.monotonic() >= next_look:
                kinds |= listening.looked()
                next_look = time.monotonic() + _LOOK_S
            if kinds:
                os.write(write, "".join(kind[0] for kind in sorted(kinds)).encode())


def _unheard() -> bool:
    return changes.unheard(_namespaces())


def _state() -> str:
    return changes.state(_namespaces())


def _namespaces() -> Sequence[str]:
    return sorted(os.listdir(netns.FOLDER))
