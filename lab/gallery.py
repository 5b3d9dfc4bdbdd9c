"""Every topology that comes along, one after another or several at once: built, checked and removed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from lab import catalogue
from lab.check import check
from lab.errors import LabError
from lab.kernel import children
from lab.model.gallery import Tried
from lab.parse import option
from lab.standing import session
from lab.standing.meter import Meter, silently
from lab.standing.session import Standing
from lab.topology import Completed

MODES: Mapping[str, Mapping[str, str]] = {
    "iptables": {"mode": "iptables", "iptables": "nft"},
    "legacy": {"mode": "iptables", "iptables": "legacy"},
    "nftables": {"mode": "nftables"},
}
"""The gallery's modes, as `catalogue.choose` takes them: kube-proxy's two, the first one with either iptables."""

ALL = "all"

UNPRIVILEGED: Mapping[tuple[str, str], str] = {}
"""What a user namespace cannot do: the topology and mode that are not tried without root, and why."""

PER_CORE = 4
"""How many labs to have at a time on each core: most of an expectation's time is waiting."""


@dataclass(frozen=True, kw_only=True)
class Item:
    """A topology in a mode, to be tried."""

    topology: str
    mode: str


def items(topologies: Sequence[str] = (), mode: str = "iptables") -> tuple[Item, ...]:
    """Return what to try: all topologies, or those that are named; in one mode, or in all.

    Raises `TopologyError` for a name that is none, with the nearest one.
    """
    known = [entry.name for entry in catalogue.entries()]
    for name in topologies:
        option.check("--topology", name, known)
    option.check("--mode", mode, [ALL, *MODES])
    chosen = list(dict.fromkeys(topologies)) or known
    return tuple(Item(topology=name, mode=one) for name in chosen for one in (MODES if mode == ALL else (mode,)))


def run(wanted: Sequence[Item], progress: Meter) -> list[Tried]:
    """Try each item in a lab of its own, several at a time, and return what came of them in the same order.

    Whatever ends this early, even a signal, no lab of it stays.
    """
    ended = 0

    def done(_number: int, tried: Tried) -> None:
        nonlocal ended
        ended += 1
        progress(f"gallery: {tried.topology} {tried.mode}", ended, len(wanted))

    progress("gallery", 0, len(wanted))
    return at_once([partial(_try, item, f"gallery-{item.topology}-{item.mode}-{os.getpid()}") for item in wanted], done)


def at_once(work: Sequence[Callable[[], Tried]], done: Callable[[int, Tried], None]) -> list[Tried]:
    """Run each function in a process of its own, as many at a time as pays on this machine."""
    return children.each(work, at_once=PER_CORE * (os.cpu_count() or 1), done=done)


def _try(item: Item, name: str) -> Tried:
    if os.geteuid() and (reason := UNPRIVILEGED.get((item.topology, item.mode))):
        return Tried(topology=item.topology, mode=item.mode, not_tried=reason)
    return trial(item.topology, item.mode, name, lambda: catalogue.choose(item.topology, **MODES[item.mode]))


def trial(
    topology: str,
    mode: str,
    name: str,
    choose: Callable[[], Completed],
    prepare: Callable[[Standing], None] = lambda _: None,
) -> Tried:
    """Build what `choose` returns as the lab `name`, `prepare` it, check it, end it, and return what was found."""
    begun = time.perf_counter()
    try:
        chosen = choose()
        with session.passing(chosen.cluster, name=name, source=topology, notes=chosen.notes) as lab:
            prepare(lab)
            verdict = check(lab, silently)
    except LabError as error:
        return Tried(topology=topology, mode=mode, error=str(error), took_s=time.perf_counter() - begun)
    took_s = time.perf_counter() - begun
    return Tried(topology=topology, mode=mode, judged=verdict.judged, left_out=verdict.left_out, took_s=took_s)
