"""The task `lab.gallery`: prove every topology that comes along."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any

from invoke import Context

from lab.cli.output import FAILED, clear_progress, look, progress, show, show_json
from lab.cli.task import JSON, command


@command(
    iterable=["topology"],
    help={
        "topology": "only this one (see lab.topologies); may be repeated",
        "mode": "iptables (by iptables-nft), legacy (by iptables-legacy), nftables, or all of them; default: iptables, "
        "whatever the topology itself says",
        "json": JSON,
    },
)
def gallery(_: Context, topology: list[str], mode: str = "iptables", json: bool = False) -> None:
    """Build, check and remove each topology that comes along.

    Several at a time, each in a lab of its own that goes at once, beside whatever labs stand. Exit status 1 if an
    expectation fails or a lab cannot be built.
    """
    from lab import gallery as room
    from lab.report import gallery as report

    begun = time.perf_counter()
    tried = room.run(room.items(topology, mode), progress)
    took_s = time.perf_counter() - begun
    clear_progress()
    if json:
        show_json(report.data(tried, took_s))
    else:
        show(report.text(tried, took_s, look()))
    if not all(one.holds for one in tried):
        sys.exit(FAILED)


def every() -> Sequence[Any]:
    """Return this task."""
    return (gallery,)
