"""Orders to a lab's keeper, which serves its pods and runs their programs: what `keeper` takes on its socket."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lab.errors import KernelError
from lab.model.ops import Close, Listener
from lab.serve import SOCKET

_ORDER_S = 30.0
"""How long the keeper may take for an order, in seconds; it takes milliseconds."""


class Orders:
    """Our end of the socket that the keeper takes orders on."""

    def __init__(self, end: socket.socket, log: Path) -> None:
        """Speak on `end`; `log` has the keeper's last words if it ends."""
        end.settimeout(_ORDER_S)
        self.file = end.makefile("rwb")
        self.log = log

    def serve(self, pods: Sequence[Listener]) -> None:
        """Have ports served and programs run; raises as `give` does."""
        self.give(serve=[{**asdict(pod), "addresses": [str(address) for address in pod.addresses]} for pod in pods])

    def close(self, pods: Sequence[Close]) -> None:
        """Have all that listens for pods closed, and their programs ended; raises as `give` does."""
        self.give(close=[{"netns": pod.netns, "pod": pod.pod} for pod in pods])

    def give(self, **words: object) -> dict[str, Any]:
        """Give one order and return the answer; `KernelError` lists the ports that could not be served."""
        try:
            self.file.write(json.dumps(words).encode() + b"\n")
            self.file.flush()
            line = self.file.readline()
        except OSError:
            line = b""
        if not line:
            raise KernelError(f"the keeper ended or hangs; its log ends with:\n{_tail(self.log)}")
        answer: dict[str, Any] = json.loads(line)
        if answer["failures"]:
            raise KernelError("\n".join(answer["failures"]), hint="do two pods of one node's network share a port?")
        return answer


def _tail(log: Path, lines: int = 10) -> str:
    try:
        found = log.read_text(errors="replace").splitlines()
    except FileNotFoundError:  # which is what ends a keeper
        return "  (it was removed)"
    return "\n".join(f"  {line}" for line in found[-lines:]) or "  (nothing)"


@contextmanager
def taken_at(log: Path) -> Iterator[Orders]:
    """Inside the capsule: give an end at which its keeper takes orders."""
    with socket.socket(socket.AF_UNIX) as end:
        try:
            end.connect(SOCKET)
        except OSError as error:
            raise KernelError(f"the lab's keeper takes no orders: {error}") from None
        yield Orders(end, log)
