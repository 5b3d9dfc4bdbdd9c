"""Labs come, stand and go: where deciding (plan, proxy) meets doing (capsule, build)."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TypeVar

import lab
from lab.errors import KernelError, TopologyError
from lab.kernel import capsule, join
from lab.kernel.fork import undisturbed
from lab.model.cluster import Cluster, pod_addresses
from lab.model.kubernetes import Pod
from lab.model.ops import Run
from lab.model.request import Reply, Request
from lab.model.status import LabRow, shown
from lab.standing import state
from lab.standing.meter import Meter, silently
from lab.standing.orders import Orders

_PATIENCE_S = (0.5, 1.0, 3.0, 10.0)
"""How long to wait for a new pod's answer, in seconds, the first time and the next ones.

It takes milliseconds; but a bridge's port forwards only when the kernel has come to it, which waits for a lock that it
has but one of: somebody else's large rule set may hold it for seconds.
"""

T = TypeVar("T")


@dataclass(frozen=True)
class Standing:
    """A lab that stands."""

    record: state.Record

    @property
    def name(self) -> str:
        """The lab's name."""
        return self.record.name

    @cached_property
    def cluster(self) -> Cluster:
        """The lab's objects, complete."""
        from lab.parse import saved  # noqa: PLC0415 - `lab.down` and `lab.list` do without

        return saved.restore(self.record.objects)

    def call(self, function: Callable[[], T]) -> T:
        """Run `function` inside the lab's capsule; see `lab.kernel.join.call`."""
        return join.call(self.record.keeper, function)


def attach(name: str | None = None) -> Standing:
    """Return the lab that a command works on; see `lab.standing.state.find`."""
    return Standing(state.find(name))


def rows() -> tuple[LabRow, ...]:
    """Return the labs that stand, for a list."""
    now = time.time()
    return tuple(
        LabRow(name=record.name, topology=record.source, age_s=now - record.created, keeper_pid=record.keeper.pid)
        for record in state.standing()
    )


def up(
    cluster: Cluster,
    *,
    name: str,
    source: str,
    notes: Sequence[str] = (),
    progress: Meter,
    stands: Callable[[], None] = lambda: None,
) -> tuple[Standing, bool]:
    """Build the lab `name` and return it when every pod answers; or return it as it stands, and False.

    `stands` is called when it was built and stands on its own. Raises `LabError`; whatever it is that ends the building
    before, nothing stays behind.
    """
    if inside := capsule.current():
        raise TopologyError(f"this is the inside of lab {inside!r}: labs are built outside", hint="leave it: exit")
    from lab.parse import saved  # noqa: PLC0415 - see `Standing.cluster`

    with state.locked(name, create=True) as folder:
        record = state.read(name)
        if record is not None and record.keeper.alive:
            return Standing(record), False
        state.check_not_held(folder)
        state.clear(folder)
        with _new_capsule(folder, name) as (keeper, orders):
            join.call(keeper, partial(_build, cluster, orders, progress))
            record = state.Record(
                name=name,
                keeper=keeper,
                source=source,
                created=time.time(),
                version=lab.__version__,
                objects=saved.save(cluster),
                notes=tuple(notes),
            )
            state.write(folder, record)
            orders.give(hold=True)
            stands()
        return Standing(record), True


@contextmanager
def passing(
    cluster: Cluster,
    *,
    name: str,
    source: str,
    notes: Sequence[str] = (),
    progress: Meter = silently,
    stays: Callable[[], bool] | None = None,
) -> Iterator[Standing]:
    """Build the lab `name`, give it, and end it with the block, however that ends, unless it `stays` then.

    Raises what `up` raises, and `TopologyError` if a lab of that name stands already, which goes on standing.
    """
    built: list[str] = []  # known even if `up` is interrupted just behind its end
    try:
        standing, _ = up(
            cluster, name=name, source=source, notes=notes, progress=progress, stands=lambda: built.append(name)
        )
        if not built:
            raise TopologyError(
                f"lab {name!r} stands already; expected another name",
                hint=f"end it: invoke lab.down --lab {name}; in a program, lab.api.attach gives one that stands",
            )
        yield standing
    finally:
        if built and not (stays and stays()):
            with undisturbed(), suppress(TopologyError):  # the block itself has ended it
                down(name)


def down(name: str) -> bool:
    """End the lab `name` and remove what is known of it; return whether it stood.

    Raises `TopologyError` if there is neither a lab nor a folder of that name.
    """
    if inside := capsule.current():
        raise TopologyError(f"this is the inside of lab {inside!r}: it ends from outside", hint="leave it: exit")
    with state.locked(name) as folder:
        record = state.read(name)
        stood = record is not None and record.keeper.alive
        if record is not None:
            capsule.end(record.keeper)
        if not stood:
            state.check_not_held(folder)
        state.clear(folder)
        return stood


@contextmanager
def _new_capsule(folder: Path, name: str) -> Iterator[tuple[capsule.Keeper, Orders]]:
    """Start a keeper; whatever goes wrong while its lab is built ends it and clears the state folder."""
    env = {"PATH": os.defpath, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    keeper = None
    with undisturbed() as disturbed:
        ours, theirs = socket.socketpair()
        fd = theirs.fileno()
        argv = [sys.executable, "-P", "-m", "lab.standing.keeper", str(fd), name]
        try:
            with ours:
                with theirs, state.open_log(folder) as log:
                    keeper = capsule.spawn(argv, name=name, keep=state.root(), log=log, fds=[fd], env=env)
                with disturbed():
                    yield keeper, Orders(ours, folder / state.LOG)
        except BaseException:
            if keeper is not None:
                capsule.end(keeper)
            state.clear(folder)
            raise


def _build(cluster: Cluster, orders: Orders, progress: Meter) -> None:
    """Inside the capsule: do the plan and see that every pod answers."""
    from lab.kernel import rules  # noqa: PLC0415 - as above
    from lab.plan import plan  # noqa: PLC0415 - as above
    from lab.standing import build, programs  # noqa: PLC0415 - only needed in there, while the keeper starts

    ops = plan(cluster, nfacct=rules.nfacct_available()).ops
    build.build(ops, serve=orders.serve, progress=progress)
    check_answers(probes(cluster), progress)
    programs.check_listening([op for op in ops if isinstance(op, Run)], orders, progress)


def check_answers(asked: Sequence[Probe], progress: Meter) -> None:
    """Inside the capsule: ask pods for their health; raises `KernelError` naming each that does not answer.

    Who is silent is asked again: a new bridge's port may not forward yet, and a datagram is sent but once.
    """
    from lab.ask import traffic  # noqa: PLC0415 - see `_build`

    progress("answers", 0, len(asked))
    complaints: list[str] = []
    silent = list(asked)
    for patience_s in _PATIENCE_S:
        replies = traffic.requests([replace(probe.request, timeout_s=patience_s) for probe in silent])
        judged = [(probe, probe.complaint(reply)) for probe, reply in zip(silent, replies, strict=True)]
        silent = [probe for probe, complaint in judged if complaint]
        complaints = [complaint for _, complaint in judged if complaint]
        progress("answers", len(asked) - len(silent), len(asked))
        if not silent:
            return
    raise KernelError("\n".join(complaints), hint="`lab.up --dry-run` shows all that was built")


@dataclass(frozen=True, kw_only=True, slots=True)
class Probe:
    """A question for a pod's health, to one of its ports at one of its addresses, from the node that it runs on."""

    pod: Pod
    request: Request

    def complaint(self, reply: Reply) -> str:
        """Return what is wrong with `reply`, or "" if the pod is well."""
        if reply.body == "ok":
            return ""
        where = f"{self.request.protocol} port {self.request.port} at {self.request.address}"
        what = reply.error or f"status {reply.status}, body {reply.body[:40]!r}"
        return f"pod {shown(self.pod.metadata)} does not answer node {self.request.netns} on {where}: {what}"


def probes(cluster: Cluster) -> tuple[Probe, ...]:
    """Return a probe for each port of each pod at each of its addresses."""
    return tuple(
        Probe(
            pod=pod,
            request=Request(
                netns=pod.spec.node_name,
                address=address,
                port=port.container_port,
                protocol="udp" if port.protocol == "UDP" else "tcp",
                path="/healthz",
            ),
        )
        for pod in cluster.pods
        for address in pod_addresses(pod)
        for port in cluster.served(pod)
        if port.protocol != "SCTP"
    )
