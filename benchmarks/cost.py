"""What a piece of work costs."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable

Cost = tuple[float, float]
"""Seconds by the clock, and seconds of processors."""


def cost(work: Callable[[], object]) -> Cost:
    """Return what `work` takes; the processors' seconds are ours and those of the programs that ended meanwhile.

    On a machine that does other work the clock says more than it should, and the processors' seconds do not; but the
    clock alone tells what is done side by side.
    """
    before, begin = _processors(), time.perf_counter()
    work()
    seconds = time.perf_counter() - begin
    return seconds, _processors() - before


def _processors() -> float:
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in usage)
