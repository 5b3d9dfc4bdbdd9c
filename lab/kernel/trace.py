"""What namespaces of this capsule do with packets, while it happens: trace events of rules, and taps.

A process of its own holds the sockets and stores what comes, so that none is lost while others work; what it has
is read by its parent when the recording ends. Whatever ends the two, nothing stays: the tables belong to sockets (see
`lab.kernel.trace_table`). Source: netlink(7), linux/netfilter/nfnetlink_log.h, packet(7).
"""

from __future__ import annotations

import errno
import os
import pickle
import select
import signal
import socket
import struct
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal, NoReturn, cast

from lab.errors import KernelError
from lab.kernel import legacy, netns, tap, trace_table
from lab.kernel.fork import die_with, fork
from lab.kernel.listeners import Listeners
from lab.kernel.netlink import NETLINK_NETFILTER, Channel, Message, attribute, open_in

SNAPLEN = 256
"""The most of a packet that is kept, in bytes: headers, those of a tunnel, and those that an ICMP error quotes."""

KEPT_BYTES = 64 * 1024 * 1024
"""How much is kept, with what Python adds to each piece; what comes then is counted, not kept."""

_DATAGRAM_BYTES, _FRAME_BYTES = 100, 300  # what the objects that hold one take beside its own bytes
BUFFER_BYTES = 32 * 1024 * 1024  # of each listener, if this user may: some 30,000 events
_QUIET_S, _LONGEST_S = 0.004, 0.05  # with nothing new for so long it has ended; at last, it is ended
NFNLGRP_NFTRACE = 9

_LOG_CONFIG = 4 << 8 | 1  # NFNL_SUBSYS_ULOG, NFULNL_MSG_CONFIG
_CFG_CMD, _CFG_MODE, _CFG_QTHRESH = 1, 2, 5
_CMD_BIND, _CMD_UNBIND, _COPY_PACKET = 1, 2, 2
_TAKEN = {errno.EEXIST, errno.EBUSY, errno.EPERM}
_HEADERS_BYTES = 128  # of a packet in an event of iptables-legacy


Log = Literal["no", "if free", "yes"]
"""Whether to listen to iptables-legacy's TRACE, which needs nf_log = nfnetlink_log: `if free`, if nobody else does."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Watch:
    """What to trace in a namespace; `log`: also what iptables-legacy's rules do."""

    wanted: trace_table.Wanted
    log: Log = "no"


@dataclass(kw_only=True, slots=True)
class Recording:
    """What was stored: frames of taps, netlink datagrams with events, each namespace's in order.

    `lost`: by namespace, what the kernel had no room for; `left_out`: how many pieces were not kept; `unheard`: the
    namespaces where somebody else has iptables-legacy's TRACE, which we wanted if it was free.
    """

    frames: list[tap.Frame] = field(default_factory=list)
    datagrams: list[tuple[str, bytes]] = field(default_factory=list)
    lost: dict[str, int] = field(default_factory=dict)
    left_out: int = 0
    unheard: list[str] = field(default_factory=list)


class Recorder:
    """A process that records; see `recording`."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control

    def stop(self) -> None:
        """Tell it that what was to be recorded has ended; it waits until nothing more comes, for 50 ms at most."""
        with suppress(OSError):  # it has ended: `result` says so
            self._control.send(b"e")

    def result(self) -> Recording:
        """Return what was recorded, once the tables are gone. Raises `KernelError` if the recorder was killed."""
        return cast("Recording", _receive(self._control))

    def close(self) -> None:
        """End it, if it has not ended; nobody waits until its sockets are closed, which takes the kernel 50 ms."""
        self._control.close()


@contextmanager
def recording(taps: Sequence[str], watches: Mapping[str, Watch], table: str) -> Iterator[Recorder]:
    """Record what passes the namespaces `taps`, and what rules do in those of `watches`, with tables called `table`.

    Raises `KernelError` if a namespace is not there, or the kernel refuses.
    """
    ours, theirs = socket.socketpair()
    us = os.pidfd_open(os.getpid())
    if fork() == 0:
        _become_recorder(us, theirs, taps, watches, table)
    os.close(us)
    theirs.close()
    recorder = Recorder(ours)
    try:
        _receive(ours)
        yield recorder
    finally:
        recorder.close()


def _become_recorder(
    parent: int, control: socket.socket, taps: Sequence[str], watches: Mapping[str, Watch], table: str
) -> NoReturn:
    """In the child: record, send it, and leave without the parent's clean-ups."""
    try:
        _keep_only(parent, control.fileno())
        die_with(parent, signal.SIGKILL)
        try:
            store = _Store(taps, watches, table)
            _send(control, None)
            answer: object = store.run(control)
        except Exception as error:  # noqa: BLE001 - the parent raises it
            answer = error
        _send(control, answer)
    finally:
        os._exit(0)  # the kernel closes what is open, which takes it 5 ms for each socket, and nobody waits for it


def _keep_only(*kept: int) -> None:
    """Close the parent's files but these and the standard ones: others wait for their end."""
    for name in os.listdir("/proc/self/fd"):
        if (fd := int(name)) > 2 and fd not in kept:  # noqa: PLR2004 - standard error
            with suppress(OSError):  # the listing's own
                os.close(fd)


def _send(control: socket.socket, answer: object) -> None:
    raw = pickle.dumps(answer, pickle.HIGHEST_PROTOCOL)
    with suppress(BrokenPipeError, ConnectionResetError):  # the parent does not want it any more
        control.sendall(struct.pack("=Q", len(raw)))
        control.sendall(raw)


def _receive(control: socket.socket) -> object:
    """Return what the recorder sent, or raise it."""
    (size,) = struct.unpack("=Q", _exactly(control, 8))
    answer: object = pickle.loads(_exactly(control, size))  # noqa: S301 - our own child wrote it
    if isinstance(answer, Exception):
        raise answer
    return answer


def _exactly(control: socket.socket, size: int) -> bytearray:
    raw = bytearray(size)
    view = memoryview(raw)
    while view:
        count = control.recv_into(view)
        if not count:
            raise KernelError("the process that records the trace was ended")
        view = view[count:]
    return raw


class _Store:
    """Open sockets, and what has come."""

    def __init__(self, taps: Sequence[str], watches: Mapping[str, Watch], table: str) -> None:
        self._found = Recording()
        self._bytes = 0
        self._table = table
        self._logs: list[Channel] = []
        self._taps = tap.Taps(taps, tap.shortened(SNAPLEN))

        def prepare(channel: Channel) -> None:
            log = watches[channel.where].log
            if hear_legacy(channel, log):
                self._logs.append(channel)
            elif log != "no":
                self._found.unheard.append(channel.where)

        self._listeners = Listeners(list(watches), (NFNLGRP_NFTRACE,), BUFFER_BYTES, prepare=prepare)
        self._owners = [owner_of(name, trace_table.made(table, watch.wanted)) for name, watch in watches.items()]

    def run(self, control: socket.socket) -> Recording:
        """Store what comes until the parent says that it has ended and nothing more comes; or until it is gone."""
        poll = select.epoll()
        for one in (control, self._taps, self._listeners):
            poll.register(one, select.EPOLLIN)
        deadline = None
        while deadline is None or time.monotonic() < deadline:
            ready = {fd for fd, _ in poll.poll(None if deadline is None else _QUIET_S)}
            if control.fileno() in ready:
                poll.unregister(control)
                deadline = time.monotonic() + _LONGEST_S
            elif not ready:
                break
            self._take()
        return self._end()

    def _take(self) -> None:
        for name, data in self._listeners.read():
            if self._keep(len(data) + _DATAGRAM_BYTES):
                self._found.datagrams.append((name, data))
        self._found.frames += [one for one in self._taps.read() if self._keep(len(one.data) + _FRAME_BYTES)]

    def _keep(self, octets: int) -> bool:
        """Return whether there is room for so many octets more; if not, they are counted as one piece."""
        if self._bytes > KEPT_BYTES:
            self._found.left_out += 1
            return False
        self._bytes += octets
        return True

    def _end(self) -> Recording:
        """Remove the tables, and return what has come until then."""
        for owner in self._owners:
            owner.transaction(trace_table.removed(self._table), trace_table.SUBSYSTEM)
        self._take()
        for log in self._logs:
            with suppress(KernelError):  # there was no room for the answer
                log.send([_log_setting(_CFG_CMD, bytes([_CMD_UNBIND]))])  # now, so that the next trace may listen
        found, lost = self._found, Counter(self._taps.dropped())
        lost.update(self._listeners.lost())
        found.lost = {name: number for name, number in lost.items() if number}
        found.frames.sort(key=lambda frame: frame.time_ns)
        return found


def owner_of(name: str, table: Sequence[Message]) -> Channel:
    """Make a table in a namespace, and return the channel that it goes with."""
    owner = open_in(name, NETLINK_NETFILTER)
    refusals = owner.transaction(table, trace_table.SUBSYSTEM)
    if refusals:
        raise KernelError(
            f"in {name}: the kernel refuses the table that asks for the trace: {refusals[0]}",
            hint="it needs nf_tables, and Linux 5.12 (tables with an owner)",
        )
    return owner


def log_of(name: str, families: Sequence[str] = ("ip", "ip6")) -> Log:
    """Return whether a namespace has tables of iptables-legacy to listen to, in any of `families`."""
    with netns.inside(name):
        known = [legacy.tables(family) for family in families]
    return "yes" if any(known) else "if free" if None in known else "no"


def hear_legacy(channel: Channel, log: Log) -> bool:
    """Let iptables-legacy's TRACE come by a channel, as far as it is wanted, and return whether it does.

    Raises `KernelError` if it is, and the kernel refuses.
    """
    if log == "no":
        return False
    refusals = channel.send(_log_bound())
    if refusals and log == "yes":
        taken = any(one.errno in _TAKEN for one in refusals)
        hint = "the kernel tells one listener alone: end the other lab.watch or lab.trace of this lab, and try again"
        raise KernelError(
            f"in {channel.where}: listening to iptables-legacy's TRACE: {refusals[0]}", hint=hint if taken else ""
        )
    return not refusals


def _log_bound() -> list[Message]:
    """Return what binds group 0 of nfnetlink_log, which TRACE goes to: each packet's headers, at once."""
    return [
        _log_setting(_CFG_CMD, bytes([_CMD_BIND])),
        _log_setting(_CFG_MODE, struct.pack("!IBx", _HEADERS_BYTES, _COPY_PACKET)),
        _log_setting(_CFG_QTHRESH, struct.pack("!I", 1)),
    ]


def _log_setting(kind: int, value: bytes) -> Message:
    return Message(kind=_LOG_CONFIG, flags=0, body=struct.pack("!BBH", socket.AF_UNSPEC, 0, 0) + attribute(kind, value))
