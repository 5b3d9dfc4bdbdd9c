"""Watch a lab at work: what rules and conntrack do on its nodes, a line each, as it happens.

One process inside the capsule listens on all nodes and writes (`lab.packets.watching`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from lab.packets.running import Running, Tally, check_enough
from lab.packets.watching import Job, work
from lab.parse import target as targets
from lab.report.table import Look
from lab.standing import observe
from lab.standing.session import Standing
from lab.standing.sync import tool


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What was seen: events, those that the kernel had no room for, and whether the lab ended meanwhile."""

    events: int
    lost: int
    lab_ended: bool


class Watch:
    """A watch under way; `nodes` are those that it looks at."""

    def __init__(self, standing: Standing, job: Job) -> None:
        """Begin, and return when it listens."""
        self.nodes = job.nodes
        self._tally = Tally()
        self._running = Running(standing.record.keeper, partial(work, job, self._tally))

    def wait(self) -> Summary:
        """Return what was seen, when that is enough, or the lab has ended."""
        return self._summary(lab_ended=self._running.wait())

    def stop(self) -> Summary:
        """End the watch, and return what was seen."""
        return self._summary(lab_ended=self._running.stop())

    def _summary(self, *, lab_ended: bool) -> Summary:
        return Summary(events=self._tally.seen, lost=self._tally.lost, lab_ended=lab_ended)


def start(
    standing: Standing,
    nodes: Sequence[str] = (),
    *,
    look: Look | None,
    rules: bool = True,
    count: int = 0,
    seconds: float = 0.0,
) -> Watch:
    """Watch `nodes` (none: all) in the background, on standard output, and return when it has begun.

    `look`: of lines for people; None: a JSON object a line. `rules`: what these did too, not conntrack's events alone.
    `count` and `seconds`: how many events are enough, and how long; 0: until `Watch.stop`.
    Raises `TopologyError` for a node that is not there, or a number that makes no sense.
    """
    check_enough(count, seconds, of="events")
    wanted = [targets.node(standing.cluster, text).netns for text in nodes] or observe.node_names(standing.cluster)
    job = Job(
        lab=standing.name,
        nodes=tuple(dict.fromkeys(wanted)),
        tool=tool(standing.cluster) if rules else None,
        look=look,
        count=count,
        seconds=seconds,
    )
    return Watch(standing, job)
