"""Change a lab that stands: the network, the rules and what pods serve, in an order in which no connection breaks.

What is new answers before any rule points to it; what goes leaves when no rule points to it any more. The record says
before a change what is about to come, and afterwards that it came: whatever ends a change in the middle, the next
command that changes the lab, or checks it, knows between which two states it is, and puts it back.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from pathlib import Path

from lab.errors import KernelError, LabError, TopologyError
from lab.model.cluster import Cluster
from lab.model.ops import Run
from lab.parse import saved
from lab.standing import orders, programs, state
from lab.standing.meter import Meter
from lab.standing.orders import Orders
from lab.standing.session import Standing, check_answers, probes


@dataclass(frozen=True, kw_only=True)
class Changed:
    """A lab before and after a change; `mended`: a change that had been cut off before was undone first."""

    old: Cluster
    new: Cluster
    mended: bool
    took_s: float


def change(lab: Standing, edit: Callable[[Cluster], Cluster], progress: Meter) -> Changed:
    """Bring a lab to what `edit` makes of its objects, and return when new pods answer and every rule is in place.

    Raises what `edit` raises, and then nothing was changed. When the kernel refuses something, or the user interrupts,
    what was done is undone. Waits for another command that changes the lab, and takes up what that one left.
    """
    begun = time.perf_counter()
    with state.locked(lab.name) as folder:
        lab, mended = _mended(lab.name, folder, progress)
        _check_own_rules(lab)
        old = lab.cluster
        new = programs.sought(edit(old))
        if new != old:
            _carry_out(lab, folder, new, progress)
        return Changed(old=old, new=new, mended=mended, took_s=time.perf_counter() - begun)


def _check_own_rules(lab: Standing) -> None:
    """Raise `TopologyError` if a node has rules that a change would overwrite."""
    if lab.record.rules:
        node, file = next(iter(lab.record.rules.items()))
        raise TopologyError(
            f"node {node} has the rules of {file}, which a change of objects would overwrite",
            hint=f"put the lab's own back first: invoke lab.sync --lab {lab.name}",
        )


def moment() -> str:
    """Return the present moment as RFC 3339 has it: since when a pod is terminating."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@contextmanager
def held(lab: Standing, progress: Meter) -> Iterator[Standing]:
    """Give the lab as it is now, and let nobody change it meanwhile; what a change that was cut off left is undone."""
    with state.locked(lab.name) as folder:
        yield _mended(lab.name, folder, progress)[0]


@contextmanager
def steady(lab: Standing) -> Iterator[Standing]:
    """Give the lab as it is now, and let nobody change it meanwhile; what a change that was cut off left is left."""
    with state.locked(lab.name):
        yield Standing(state.find(lab.name))


Turn = Callable[[Callable[[Cluster], Cluster]], Standing]
"""Brings a lab to what an edit makes of its objects, as `change` does, and returns it as it is then."""


@contextmanager
def passing(lab: Standing, progress: Meter) -> Iterator[Turn]:
    """Give a function that changes a lab which is `held`; with the end of the block the lab is put back.

    To all others it stands all the while as it will again, amid a change: should we be killed, the next command that
    changes it puts it back.
    """
    folder = state.root() / lab.name
    now, other = lab, lab.cluster

    def turn(edit: Callable[[Cluster], Cluster]) -> Standing:
        nonlocal now, other
        _check_own_rules(lab)
        other = programs.sought(edit(now.cluster))
        objects = saved.save(other)
        state.note(lab.name, pending=objects)
        lab.call(partial(_change, now.cluster, other, folder / state.LOG, progress))
        now = Standing(replace(lab.record, objects=objects))
        return now

    try:
        yield turn
        if now is not lab:
            lab.call(partial(_change, now.cluster, lab.cluster, folder / state.LOG, progress))
            state.note(lab.name, pending=None)
    except BaseException as error:
        if other is not lab.cluster:
            _undo_after(error, lab, folder, other, progress)
        raise


def _mended(name: str, folder: Path, progress: Meter) -> tuple[Standing, bool]:
    """Return the lab as its record has it now, mended if a change of it was cut off, and whether it was."""
    lab = Standing(state.find(name))
    if lab.record.pending is None:
        return lab, False
    _undo(lab, folder, saved.restore(lab.record.pending), progress)
    return Standing(replace(lab.record, pending=None)), True


def _carry_out(lab: Standing, folder: Path, new: Cluster, progress: Meter) -> None:
    """Do a change of which the record tells from its begin to its end; what interrupts it undoes it."""
    from lab.controllers import notes  # noqa: PLC0415 - a lab that is only held (`steady`) needs no controllers

    objects = saved.save(new)
    state.note(lab.name, pending=objects)
    try:
        lab.call(partial(_change, lab.cluster, new, folder / state.LOG, progress))
        state.note(lab.name, objects=objects, notes=notes(new), pending=None)
    except BaseException as error:
        _undo_after(error, lab, folder, new, progress)
        if isinstance(error, KernelError):
            hint = f"nothing is changed: what had been done is undone{f'; {error.hint}' if error.hint else ''}"
            raise KernelError(error.message, hint=hint) from None
        raise


def _undo_after(error: BaseException, lab: Standing, folder: Path, other: Cluster, progress: Meter) -> None:
    """Undo a change that `error` ended; raises `KernelError` with both where that cannot be."""
    try:
        _undo(lab, folder, other, progress)
    except LabError as worse:
        if not isinstance(error, LabError):
            raise
        raise KernelError(
            f"{error.message}\nand what had been done could not be undone:\n{worse.message}",
            hint=f"the next change of the lab tries it again; or end it: invoke lab.down --lab {lab.name}",
        ) from None


def _undo(lab: Standing, folder: Path, other: Cluster, progress: Meter) -> None:
    """Put a lab that is somewhere between its own objects and `other` back to its own."""
    lab.call(partial(_put_back, lab.cluster, other, folder / state.LOG, progress))
    state.note(lab.name, objects=lab.record.objects, notes=lab.record.notes, pending=None)


def _change(old: Cluster, new: Cluster, log: Path, progress: Meter) -> None:
    """Inside the capsule: go from one state to the next."""
    from lab.plan import stages  # noqa: PLC0415 - only needed in there

    with orders.taken_at(log) as keeper:
        for before, after in pairwise((old, *stages(old, new))):
            _step(before, after, keeper, progress)


def _step(old: Cluster, new: Cluster, keeper: Orders, progress: Meter) -> None:
    from lab.kernel import rules  # noqa: PLC0415 - as above
    from lab.plan import difference  # noqa: PLC0415 - as above
    from lab.standing import build, sync  # noqa: PLC0415 - they load netlink

    to_do = difference(old, new, nfacct=rules.nfacct_available())
    build.build(to_do.before, serve=keeper.serve, progress=progress)
    known = {pod.metadata.key for pod in old.pods}
    check_answers([probe for probe in probes(new) if probe.pod.metadata.key not in known], progress)
    programs.check_listening([op for op in to_do.before if isinstance(op, Run)], keeper, progress)
    progress("rules", 0, len(new.nodes))
    sync.partial(old, new)
    progress("rules", len(new.nodes), len(new.nodes))
    build.build(to_do.after, serve=keeper.serve, close=keeper.close, progress=progress)


def _put_back(wanted: Cluster, other: Cluster, log: Path, progress: Meter) -> None:
    """Inside the capsule: make everything as `wanted` has it, whatever there is of it and of `other`."""
    from lab.kernel import rules  # noqa: PLC0415 - as above
    from lab.plan import mending  # noqa: PLC0415 - as above
    from lab.standing import build, sync  # noqa: PLC0415 - they load netlink

    ops = mending(wanted, other, nfacct=rules.nfacct_available())
    with orders.taken_at(log) as keeper:
        build.build(ops, serve=keeper.serve, close=keeper.close, progress=progress, mend=True)
    sync.full(wanted)
