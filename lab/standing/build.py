"""Do a plan: ops -> the kernel's doors, inside the capsule that this single-threaded process has joined.

Messages for one network namespace travel together, through a socket that was opened in it once.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import assert_never

from lab.errors import KernelError
from lab.kernel import links, netns, rules, syscalls, sysctl
from lab.kernel.capsule import FOLDER
from lab.kernel.limits import raise_open_files
from lab.kernel.netlink import Channel, Message, open_in
from lab.model.ops import (
    Address,
    Bridge,
    Close,
    Delete,
    Fdb,
    Health,
    Hosts,
    Listener,
    Namespace,
    Neighbour,
    Op,
    Remove,
    Route,
    Rules,
    Run,
    Serve,
    Sysctl,
    Veth,
    Vxlan,
)
from lab.plan.describe import describe
from lab.standing.messages import message
from lab.standing.meter import Meter, silently

NetlinkOp = Bridge | Veth | Vxlan | Address | Route | Neighbour | Fdb | Delete

HOSTS = FOLDER / "hosts"
"""What /etc/hosts is inside a capsule; `hosts.NAMESPACE` beside it is for a pod of that Kubernetes namespace."""

_PHASES: dict[type, str] = {
    Namespace: "namespaces",
    Bridge: "links",
    Veth: "links",
    Vxlan: "links",
    Address: "addresses",
    Route: "addresses",
    Neighbour: "addresses",
    Fdb: "addresses",
    Rules: "rules",
    Hosts: "names",
    Serve: "pods",
    Run: "pods",
    Health: "pods",
    Close: "pods",
    Delete: "what goes",
    Remove: "what goes",
}
_THERE, _GONE = (errno.EEXIST,), (errno.ENOENT, errno.ENODEV, errno.ESRCH, errno.EADDRNOTAVAIL)
_OPEN_NAMESPACES = 128  # files of far ends held open while their messages wait to be sent


def build(
    ops: Sequence[Op],
    *,
    serve: Callable[[Sequence[Listener]], None],
    close: Callable[[Sequence[Close]], None] = lambda _: None,
    progress: Meter = silently,
    mend: bool = False,
) -> None:
    """Do `ops` in order; `progress(phase, done, total)` counts the ops of each phase.

    `serve` is given all that listens at once, `close` all Close ops. `mend`: what is there already or gone
    already is as well. Raises `KernelError`, which names the op as `describe` shows it.
    """
    raise_open_files()
    before = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    builder = _Builder(mend=mend)
    try:
        for phase, todo in _phases(ops):
            for done in builder.do(todo, serve, close):
                progress(phase, done, len(todo))
        builder.finish()
    finally:
        builder.close()
        syscalls.setns(before, syscalls.CLONE_NEWNET)
        os.close(before)


def _phases(ops: Sequence[Op]) -> Iterator[tuple[str, list[Op]]]:
    """Yield runs of ops that are done together, each with its name; sysctls between namespaces belong to these."""
    phase = "namespaces"

    def name(op: Op) -> str:
        nonlocal phase
        phase = _PHASES.get(type(op), "namespaces" if phase == "namespaces" else "sysctls")
        return phase

    return ((phase, list(run)) for phase, run in groupby(ops, name))


class _Builder:
    """Where the work stands: which namespace this thread is in, open channels, and messages not yet sent."""

    def __init__(self, *, mend: bool) -> None:
        self.mend = mend
        self.here: str | None = None
        self.channels: dict[str, Channel] = {}
        self.pending: list[tuple[Message, NetlinkOp, int]] = []
        self.pending_netns = ""
        self.far_ups: dict[str, list[tuple[Message, NetlinkOp, int]]] = {}
        self.files: list[int] = []

    def close(self) -> None:
        """Close all files."""
        for channel in self.channels.values():
            channel.close()
        for fd in self.files:
            os.close(fd)

    def do(
        self,
        ops: Sequence[Op],
        serve: Callable[[Sequence[Listener]], None],
        close: Callable[[Sequence[Close]], None],
    ) -> Iterator[int]:
        """Do the ops of one phase, yielding how many are done from time to time, and at the end."""
        for done, op in enumerate(ops):
            if self.one(op):
                yield done
        self.flush()
        if loads := [op for op in ops if isinstance(op, Rules)]:
            self.finish()
            _load(loads)
        if pods := [op for op in ops if isinstance(op, (Serve, Health, Run))]:
            self.finish()
            serve(pods)
        if ended := [op for op in ops if isinstance(op, Close)]:
            close(ended)
        yield len(ops)

    def one(self, op: Op) -> bool:
        """Do one op, or put it behind those that wait; return whether this took its time."""
        match op:
            case Namespace():
                self.namespace(op)
                return True
            case Remove():
                self.remove(op)
                return True
            case Sysctl():
                self.sysctl(op)
            case Bridge() | Veth() | Vxlan() | Address() | Route() | Neighbour() | Fdb() | Delete():
                return self.queue(op)
            case Hosts():
                _write_hosts(op)
            case Rules() | Serve() | Run() | Health() | Close():
                pass  # all at once, see `do`
            case _:
                assert_never(op)
        return False

    def namespace(self, op: Namespace) -> None:
        """Make a namespace, stay in it, and open its channel on the way."""
        try:
            netns.create(op.netns)
        except OSError as error:
            raise KernelError(f"{describe(op).splitlines()[0]}: {error}") from None
        self.here = op.netns
        channel = self.channels[op.netns] = Channel(op.netns)
        for refusal in channel.send([links.up(links.LOOPBACK)]):
            raise KernelError(f"{describe(op).splitlines()[1]}: {refusal}")

    def remove(self, op: Remove) -> None:
        """Remove a namespace, once all that waits is sent; it ends when nobody is in it or has a socket there."""
        self.finish()
        if channel := self.channels.pop(op.netns, None):
            channel.close()
        try:
            netns.remove(op.netns)
        except OSError as error:
            if not (self.mend and error.errno in _GONE):
                raise KernelError(f"{describe(op)}: {error}") from None

    def sysctl(self, op: Sysctl) -> None:
        """Write one sysctl, in its namespace; on a kernel without IPv6 there is none to switch off."""
        if self.here != op.netns:
            netns.enter(op.netns)
            self.here = op.netns
        if op.key.endswith(".disable_ipv6") and op.value == "1" and not sysctl.exists(op.key):
            return
        try:
            sysctl.write(op.key, op.value)
        except KernelError as error:
            if not op.optional:
                raise KernelError(f"{_place(op.netns)}{error.message}", hint=error.hint) from None

    def queue(self, op: NetlinkOp) -> bool:
        """Put an op's messages behind those that wait; return whether these were sent now."""
        sent = op.netns != self.pending_netns or len(self.files) >= _OPEN_NAMESPACES
        if sent:
            self.flush()
            self.pending_netns = op.netns
            self.pending = self.far_ups.pop(op.netns, [])
        for line, one in self.encode(op):
            self.pending.append((one, op, line))
        return sent

    def encode(self, op: NetlinkOp) -> Iterator[tuple[int, Message]]:
        """Yield the messages for `op`, each with the number of the line in `describe` that it stands for."""
        match op:
            case Veth():
                near = links.End(name=op.name, index=op.index, mac=op.mac)
                far = links.End(name=op.peer_name, index=op.peer_index, mac=op.peer_mac)
                fd = self.open(op)
                yield 0, links.veth(near, far, far_netns=fd, master=op.master, mtu=op.mtu)
                self.far_ups.setdefault(op.peer_netns, []).append((links.up(op.peer_index), op, 1))
                if op.hairpin:
                    yield 2, links.hairpin(op.index, on=True)
            case Delete(what=Veth() as what):
                yield 0, links.delete_link(what.index)
            case Delete():
                yield from ((line, links.undo(one)) for line, one in self.encode(op.what))
            case _:
                yield 0, message(op)

    def open(self, op: Veth) -> int:
        """Open the namespace of a far end; it is closed when the message is sent."""
        try:
            fd = os.open(netns.path(op.peer_netns), os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise KernelError(f"{describe(op).splitlines()[0]}: {error}") from None
        self.files.append(fd)
        return fd

    def flush(self) -> None:
        """Send what waits; `KernelError` names each op that was refused."""
        waiting, self.pending = self.pending, []
        if waiting:
            refusals = self.channel(self.pending_netns).send([message for message, _, _ in waiting])
            if self.mend:
                refusals = [one for one in refusals if one.errno not in _done_before(waiting[one.position][1])]
            if refusals:
                raise KernelError(_refused((waiting[refusal.position], str(refusal)) for refusal in refusals))
        while self.files:
            os.close(self.files.pop())

    def finish(self) -> None:
        """Send all that waits, far ends that nothing else was planned for included."""
        self.flush()
        for name in list(self.far_ups):
            self.pending_netns, self.pending = name, self.far_ups.pop(name)
            self.flush()

    def channel(self, name: str) -> Channel:
        """Return the channel to a namespace, opening it when it was not made by this build."""
        if name not in self.channels:
            self.channels[name] = open_in(name)
        return self.channels[name]


def _done_before(op: NetlinkOp) -> tuple[int, ...]:
    """Return the errors that say that an op was done before."""
    return _GONE if isinstance(op, Delete) else _THERE


def _refused(refusals: Iterable[tuple[tuple[Message, NetlinkOp, int], str]]) -> str:
    return "\n".join(f"{describe(op).splitlines()[line]}: {text}" for (_, op, line), text in refusals)


def _place(name: str) -> str:
    return f"in {name}: " if name else "in the capsule's own namespace: "


def _load(ops: Sequence[Rules]) -> None:
    for op in ops:
        if op.counters:
            rules.add_counters(op.netns, op.counters)
    rules.restore([rules.Load(netns=op.netns, tool=op.tool, family=op.family, text=op.text, anew=True) for op in ops])


def _write_hosts(op: Hosts) -> None:
    """Write the names; the default ones in place, since /etc/hosts is bound to that very file."""
    for namespace, text in op.texts:
        HOSTS.with_name(f"hosts.{namespace}").write_text(text, encoding="utf-8")
        if namespace == "default":
            HOSTS.write_text(text, encoding="utf-8")
