"""The programs that run in pods: started, listened to, waited for; never started again."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lab.errors import KernelError
from lab.kernel import capsule, process
from lab.serve.server import stamp

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.model.ops import Run

LAST_LINES = 5
LONGEST_LINE = 4096  # bytes; then it is cut
_PIECE = 65_536


@dataclass(slots=True)
class _Process:
    """A program; `status` is None while it runs, then its exit status, or minus the number of the signal."""

    run: Run
    pid: int
    output: int
    status: int | None = None
    begun: bytes = b""  # of a line that has not ended
    last: deque[str] = field(default_factory=lambda: deque(maxlen=LAST_LINES))


class Processes:
    """The programs of all pods; `log` gets a line for each line that they write, and one when they end."""

    def __init__(self, log: Callable[[str], None]) -> None:
        """Begin with none; call it inside the loop."""
        self._loop = asyncio.get_running_loop()
        self._log = log
        self._all: dict[tuple[str, str, str], _Process] = {}

    def start(self, run: Run) -> str:
        """Start a program, unless it was started already; return "", or why it cannot be."""
        key = (run.netns, run.pod, run.container)
        if key in self._all:
            return ""
        # As a pod of another Kubernetes namespace sees names.
        hosts = None if run.namespace == "default" else capsule.FOLDER / f"hosts.{run.namespace}"
        try:
            pid, output = process.start(
                process.Program(
                    path=run.program,
                    argv=run.argv,
                    env=dict(run.env),
                    folder=run.folder,
                    netns=run.netns,
                    hostname=run.hostname,
                    hosts=hosts,
                )
            )
        except (KernelError, OSError) as error:
            return f"pod {run.pod}: {error}"
        os.set_blocking(output, False)
        self._all[key] = one = _Process(run, pid, output)
        self._loop.add_reader(output, self._read, one)
        return ""

    def close(self, netns: str, pod: str) -> None:
        """Kill what runs in a pod, with all that it started."""
        for key in [key for key in self._all if key[:2] == (netns, pod)]:
            one = self._all.pop(key)
            if one.status is None:
                process.end(one.pid)
                self._end_of_output(one)

    def reaped(self, pid: int, status: int) -> None:
        """Note the end of a child of ours, whichever it was, with its wait status."""
        for one in self._all.values():
            if one.pid == pid and one.status is None:
                self._end_of_output(one)
                one.status = os.waitstatus_to_exitcode(status)
                how = f"exited with status {one.status}" if one.status >= 0 else f"was ended by signal {-one.status}"
                self._log(f"{stamp()} {one.run.pod} [{one.run.container}] {how}; it is not started again")

    def report(self) -> list[dict[str, Any]]:
        """Return what runs or ran in each pod, how it ended, and its last lines."""
        return [
            {"netns": netns, "pod": pod, "container": container, "status": one.status, "last": list(one.last)}
            for (netns, pod, container), one in self._all.items()
        ]

    def _end_of_output(self, one: _Process) -> None:
        """Take in what a program that has ended had still written."""
        while self._read(one):
            pass

    def _read(self, one: _Process) -> bool:
        """Take in a piece of output; return whether there may be more now."""
        if one.output < 0:
            return False
        try:
            piece = os.read(one.output, _PIECE)
        except BlockingIOError:
            return False
        *lines, one.begun = (one.begun + piece).split(b"\n")
        if one.begun and (not piece or len(one.begun) > LONGEST_LINE):
            lines.append(one.begun)
            one.begun = b""
        for line in lines:
            self._line(one, line)
        if not piece:
            self._loop.remove_reader(one.output)
            os.close(one.output)
            one.output = -1
        return bool(piece)

    def _line(self, one: _Process, raw: bytes) -> None:
        text = raw[:LONGEST_LINE].decode(errors="replace").expandtabs().rstrip()
        line = "".join(letter if letter.isprintable() else "?" for letter in text)
        one.last.append(line)
        self._log(f"{stamp()} {one.run.pod} [{one.run.container}] {line}")
