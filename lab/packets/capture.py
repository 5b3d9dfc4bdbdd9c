"""Packets of a lab's namespaces while they pass: as lines with names, or as a pcapng file.

One process inside the capsule holds a tap on each namespace and writes what it sees in the order of time; it ends with
the capsule, when it is told to, or when it has seen enough. What it has counted is shared memory: so it is known, and
the file is whole, however it ends.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

from lab.errors import HostError, TopologyError
from lab.kernel import tap
from lab.packets.running import Running, Tally, check_enough
from lab.packets.taps import Job, work
from lab.parse import target as targets
from lab.parse.mistake import listed
from lab.parse.place import PLACES, places
from lab.standing.session import Standing

ALL = "all"
"""The target that means every node, pod, client and the router."""
STDOUT = "-"
STDOUT_FD = 1


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What was captured: packets, those that the kernel had no room for, and whether the lab ended meanwhile."""

    packets: int
    dropped: int
    lab_ended: bool = False


class Capture:
    """A capture under way. `where` are the places that it looks at, as a table calls them."""

    def __init__(self, standing: Standing, job: Job, file: BinaryIO | None) -> None:
        """Begin, and return when every tap is open; what is refused is raised. No `file`: standard output."""
        self.where = tuple(job.places.values())
        self._tally = Tally()
        self._file = file
        out = STDOUT_FD if file is None else file.fileno()
        self._running = Running(standing.record.keeper, partial(work, job, out, self._tally))

    def wait(self) -> Summary:
        """Return what was captured, when enough is, or the lab has ended."""
        return self._summary(lab_ended=self._running.wait())

    def stop(self) -> Summary:
        """End the capture, and return what was captured."""
        return self._summary(lab_ended=self._running.stop())

    def _summary(self, *, lab_ended: bool) -> Summary:
        """Close the file, without a half block at its end, and return what there was."""
        if self._file is not None and not self._file.closed:
            with self._file, suppress(OSError):  # a pipe cannot be cut
                self._file.truncate(self._tally.written)
        return Summary(packets=self._tally.seen, dropped=self._tally.lost, lab_ended=lab_ended)


def start(
    standing: Standing,
    wanted: Sequence[str],
    *,
    write: str | os.PathLike[str] = "",
    expression: str = "",
    count: int = 0,
    seconds: float = 0.0,
) -> Capture:
    """Capture in the background what passes the places `wanted` (`all`: each of the lab), and return when it has begun.

    `write`: a file that is not there yet, in which the packets will be as pcapng; `-`: the same on standard output; "":
    a line each on standard output. `expression`: which packets, in pcap-filter(7)'s language. `count` and `seconds`:
    how many are enough, and how long; 0: until `Capture.stop`.
    Raises `TopologyError` for a place or a filter that makes no sense, `HostError` for a file that cannot be written.
    """
    check_enough(count, seconds, of="packets")
    job = Job(
        places=_netns(standing, wanted),
        names=targets.names(standing.cluster),
        comment=f"lab {standing.name}, topology {standing.record.source}",
        expression=expression,
        program=standing.call(partial(tap.compile_filter, expression)) if expression.strip() else b"",
        count=count,
        seconds=seconds,
        lines=not write,
    )
    if not write or write == STDOUT:
        return Capture(standing, job, None)
    return _into(Path(write), standing, job)


@contextmanager
def running(
    standing: Standing, wanted: Sequence[str], *, write: str | os.PathLike[str], expression: str = ""
) -> Iterator[Capture]:
    """Capture into the file `write` while the block runs; see `start`."""
    capture = start(standing, wanted, write=write, expression=expression)
    try:
        yield capture
    finally:
        capture.stop()


def _into(path: Path, standing: Standing, job: Job) -> Capture:
    try:
        new = not path.exists() or stat.S_ISREG(path.stat().st_mode)
        file = path.open("xb" if new else "wb", buffering=0)  # of a pipe: its reader may wait for us
    except OSError as error:
        raise HostError(f"{path}: {error.strerror}", hint="choose another place: --write PATH, or --write -") from None
    try:
        return Capture(standing, job, file)
    except BaseException:
        file.close()
        if new:
            path.unlink(missing_ok=True)
        raise


def _netns(standing: Standing, wanted: Sequence[str]) -> dict[str, str]:
    """Return what each of the namespaces to tap is called; pods on a node's network are in that node's."""
    known = places(standing.cluster)
    if not wanted:
        some = listed([*[one.short for one in known if one.kind in PLACES][:3], ALL])
        raise TopologyError("which packets? expected --target, once or several times", hint=f"such as: {some}")
    found = [targets.target_among(known, text) for text in wanted if text != ALL]
    if ALL in wanted:
        found += [one for one in known if one.kind in PLACES]
    owners = {one.netns: one.short for one in known if one.kind != "pod"}  # a node's namespace is the node's
    return {one.netns: owners.get(one.netns, one.short) for one in found}
