"""The process of a capture inside the capsule: it holds the taps, and writes what it sees in the order of time."""

from __future__ import annotations

import os
import select
import socket
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import lab
from lab.kernel import tap
from lab.model.address import IPAddress
from lab.packets.running import READY, Tally
from lab.parse.frame import frame as decoded
from lab.report import packets, pcapng

_LOOK_S = 0.5  # how often to ask the kernel what it had no room for


@dataclass(frozen=True, kw_only=True)
class Job:
    """What to capture, and how to show it; `places`: by network namespace, what it is called."""

    places: Mapping[str, str]
    names: Mapping[IPAddress, str]
    comment: str
    expression: str
    program: bytes
    count: int
    seconds: float
    lines: bool


def work(job: Job, out: int, tally: Tally, control: socket.socket) -> None:
    """Inside the capsule: capture until told to end, or until there is enough."""
    with tap.Taps(tuple(job.places), job.program) as taps:
        writer = _Writer(job, out, tally, taps)
        control.send(READY)
        _until_the_end(job, control, taps, writer)
        writer.end()


def _until_the_end(job: Job, control: socket.socket, taps: tap.Taps, writer: _Writer) -> None:
    deadline = time.monotonic() + job.seconds if job.seconds else None
    order = tap.Order()
    poll = select.poll()
    poll.register(control, select.POLLIN)
    poll.register(taps, select.POLLIN)
    going = True
    while going:
        wait_s = min(_LOOK_S, max(0.0, deadline - time.monotonic())) if deadline else _LOOK_S
        ready = {fd for fd, _ in poll.poll(1000 * (tap.GRACE_NS / 1e9 if order else wait_s))}
        going = control.fileno() not in ready and (deadline is None or time.monotonic() < deadline)
        now = time.time_ns()
        order.put(taps.read())
        left = job.count - writer.packets if job.count else None
        writer.write(order.take(now - tap.GRACE_NS if going else None)[:left])
        going = going and (not job.count or writer.packets < job.count)


@dataclass
class _Writer:
    """Writes packets, as lines or as blocks, and keeps the tally of them."""

    job: Job
    out: int
    tally: Tally
    taps: tap.Taps
    packets: int = 0
    written: int = 0
    dropped: int = 0
    numbers: dict[tuple[str, str], int] = field(default_factory=dict)
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    looked_s: float = 0.0

    def __post_init__(self) -> None:
        """Begin the file. Interfaces without Ethernet wait for a packet: tcpdump reads files of one sort only."""
        plain = [one for one in self.taps.interfaces if one.hardware in (tap.ETHERNET, tap.LOOPBACK)]
        self.width = max((len(self.label(one.netns, one.name)) for one in plain), default=0)
        if not self.job.lines:
            begin = pcapng.section(f"Hairpin {lab.__version__}", self.job.comment) + pcapng.names(self.job.names)
            self.put(begin + b"".join(self.declared(one) for one in plain))

    def label(self, netns: str, interface: str) -> str:
        """Return what an interface is called: `web-1/eth0`."""
        return f"{self.job.places[netns]}/{interface}"

    def put(self, raw: bytes) -> None:
        """Write all of `raw`, and keep the tally."""
        rest = memoryview(raw)
        while rest:
            rest = rest[os.write(self.out, rest) :]
        self.written += len(raw)
        self.tally.keep(self.packets, self.dropped, self.written)

    def write(self, frames: Sequence[tap.Frame]) -> None:
        """Write frames, which come in the order of time."""
        raw = b"".join(map(self.line if self.job.lines else self.block, frames))
        self.packets += len(frames)
        if time.monotonic() - self.looked_s > _LOOK_S:
            self.looked_s = time.monotonic()
            self.dropped = sum(self.taps.dropped().values())
        self.put(raw)

    def line(self, one: tap.Frame) -> bytes:
        """Return a packet as a line."""
        ethernet = one.hardware in (tap.ETHERNET, tap.LOOPBACK)
        text = packets.line(
            decoded(one.data, ethernet=ethernet, protocol=one.protocol),
            self.job.names,
            time_ns=one.time_ns,
            interface=self.label(one.netns, one.interface),
            direction=one.direction,
            mark=one.mark,
            width=self.width,
        )
        return f"{text}\n".encode()

    def block(self, one: tap.Frame) -> bytes:
        """Return a packet as a block, behind that of its interface if this is new."""
        place = (one.netns, one.interface)
        new = b"" if place in self.numbers else self.declared(tap.Interface(*place, one.hardware))
        self.counts[place] += 1
        return new + pcapng.packet(
            self.numbers[place],
            one.time_ns,
            one.data,
            length=one.length,
            direction=one.direction,
            kind=one.kind,
            comment=f"mark {one.mark:#x}" if one.mark else "",
        )

    def declared(self, one: tap.Interface) -> bytes:
        """Give an interface its number, and return its block."""
        self.numbers[one.netns, one.name] = len(self.numbers)
        ethernet = one.hardware in (tap.ETHERNET, tap.LOOPBACK)
        return pcapng.interface(
            self.label(one.netns, one.name),
            link_type=pcapng.ETHERNET if ethernet else pcapng.RAW,
            snaplen=tap.SNAPLEN,
            wanted=self.job.expression,
        )

    def end(self) -> None:
        """Write how many packets each interface had, and what each namespace lost."""
        lost = self.taps.dropped()
        self.dropped = sum(lost.values())
        raw = b""
        if not self.job.lines:
            for (netns, name), number in self.numbers.items():
                gone = lost.pop(netns, None)  # told once, with the first interface
                where = f"{gone} lost in {self.job.places[netns]}, on whichever interface" if gone else ""
                raw += pcapng.statistics(
                    number,
                    time.time_ns(),
                    packets=self.counts[netns, name],
                    dropped=gone,
                    comment=where,
                )
        self.put(raw)
