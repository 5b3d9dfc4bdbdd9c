"""The process of a watch inside the capsule: it listens on all nodes, puts together what belongs together, and writes.

It waits for the kernel, and asks it for nothing but rules that have changed, when one of them is met.
"""

from __future__ import annotations

import json
import os
import select
import socket
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Literal

from lab.journey.hits import Packets, hits
from lab.journey.rules import Book
from lab.kernel import flow_events, listing, rule_events, trace_events
from lab.kernel.listeners import Listeners
from lab.model.address import Family, IPAddress
from lab.model.trace import OWN_TABLE, Event, Listing, Tool
from lab.model.watch import FlowChange, Loss, RuleHits, Seen
from lab.packets.running import READY, Tally
from lab.parse import conntrack, saved, trace
from lab.parse import target as targets
from lab.report import watch as report
from lab.report.table import Look
from lab.standing import state

STDOUT_FD = 1


@dataclass(frozen=True, kw_only=True)
class Job:
    """What to watch: the lab's name, its nodes, and the tool of their rules, None if these are not wanted.

    `look`: how lines are shown to people, None for JSON; `count`, `seconds`: how much is enough, 0 for no end.
    """

    lab: str
    nodes: Sequence[str]
    tool: Tool | None
    look: Look | None
    count: int
    seconds: float


def work(job: Job, tally: Tally, control: socket.socket) -> None:
    """Inside the capsule: watch until told to end, or until there is enough."""
    with ExitStack() as stack:
        flows = stack.enter_context(flow_events.listen(job.nodes))
        rules: Listeners | None = None
        deaf: Sequence[str] = ()
        if job.tool:
            table, legacy = f"{OWN_TABLE}-watch-{os.getpid()}", job.tool == "iptables-legacy"
            rules, deaf = stack.enter_context(rule_events.listening(job.nodes, table, legacy=legacy))
        writer = _Writer(job, tally)
        sight = _Sight(flows, rules)
        control.send(READY)
        now = time.time_ns()
        writer.write([Loss(time_ns=now, node=node, what="iptables-legacy", number=None) for node in deaf])
        _until_the_end(job, control, sight, writer)


def _until_the_end(job: Job, control: socket.socket, sight: _Sight, writer: _Writer) -> None:
    deadline = time.monotonic() + job.seconds if job.seconds else None
    poll = select.poll()
    poll.register(control, select.POLLIN)
    poll.register(STDOUT_FD, 0)  # only to be told when its reader has gone
    for each in sight.listeners:
        poll.register(each, select.POLLIN)
    going = True
    while going:
        wait_s = None if deadline is None else max(0.0, deadline - time.monotonic())
        ready = {fd for fd, _ in poll.poll(None if wait_s is None else 1000 * wait_s)}
        going = ready.isdisjoint((control.fileno(), STDOUT_FD)) and (deadline is None or time.monotonic() < deadline)
        writer.write(list(sight.look()))
        going = going and not writer.enough


@dataclass
class _Listings:
    """The nodes' rules as they were last listed, of the tables that were met; listed anew when they have changed."""

    _tables: dict[str, set[listing.Table]] = field(default_factory=dict)
    _stamps: dict[str, object] = field(default_factory=dict)
    _books: dict[str, Book] = field(default_factory=dict)

    def book(self, node: str) -> Book:
        """Return what a node's rules were when events of it were last `met`."""
        return self._books[node]

    def met(self, events: Sequence[Event]) -> None:
        """See to it that the rules are known that these events are of."""
        for node in dict.fromkeys(event.netns for event in events):
            known = self._tables.setdefault(node, set())
            before = len(known)
            known |= {
                listing.Table(netns=node, family=event.family, name=event.table, legacy=event.marked_before)
                for event in events
                if event.netns == node
            }
            stamp = self._stamp(node)
            if len(known) > before or stamp != self._stamps.get(node):
                self._stamps[node] = stamp
                self._books[node] = Book(tuple(map(_listing, listing.listed(sorted(known, key=str)))))

    def _stamp(self, node: str) -> object:
        """Return what differs when rules have changed."""
        legacy = {
            family: tuple(sorted(one.name for one in self._tables[node] if one.legacy and one.family == family))
            for family in ("ip", "ip6")
        }
        return tuple(listing.generation(node, family, names) for family, names in legacy.items())


def _listing(one: listing.Listed) -> Listing:
    family: Family = "ipv6" if one.family == "ip6" else "ipv4"
    return Listing(netns=one.netns, tool=one.tool, family=family, text=one.text, handles=one.handles)


@dataclass
class _Sight:
    """What is seen: flows' events, and the rules' of the packets that began them."""

    flows: Listeners
    rules: Listeners | None
    packets: Packets = field(default_factory=Packets)
    listings: _Listings = field(default_factory=_Listings)
    lost: Counter[tuple[str, str]] = field(default_factory=Counter)

    @property
    def listeners(self) -> tuple[Listeners, ...]:
        """What to wait for."""
        return (self.flows, self.rules) if self.rules else (self.flows,)

    def look(self) -> Iterator[Seen]:
        """Yield what has come. A flow is told of behind the rules that its packet met, so these are read after."""
        now = time.time_ns()
        changes = flow_events.read(self.flows)
        yield from self._ended(now)
        yield from self._losses("conntrack", self.flows, now)
        if self.rules:
            yield from self._losses("rules", self.rules, now)
        for one in changes:
            for flow in conntrack.flows(one.netns, [one.entry]):
                if one.kind == "new":
                    yield from self._hits(self.packets.through(flow), now)
                yield FlowChange(time_ns=now, kind=one.kind, flow=flow)

    def _ended(self, now: int) -> Iterator[RuleHits]:
        """Yield what ended packets; the others' flows come."""
        raw = trace_events.cut(self.rules.read()) if self.rules else ()
        events = list(trace.events(raw, {}, own_table=""))
        self.listings.met(events)
        for event in events:
            yield from self._hits(self.packets.take(event, self.listings.book(event.netns)), now)

    def _hits(self, events: Sequence[Event], now: int) -> Iterator[RuleHits]:
        if events:
            node = events[0].netns
            found = hits(events, self.listings.book(node), node, now)
            if found:
                yield found

    def _losses(self, what: Literal["conntrack", "rules"], listeners: Listeners, now: int) -> Iterator[Loss]:
        for node, number in listeners.lost().items():
            new = number - self.lost[what, node]
            if new:
                self.lost[what, node] = number
                yield Loss(time_ns=now, node=node, what=what, number=new)


@dataclass
class _Writer:
    """Writes what is seen, and keeps the tally of it; each line is written at once."""

    job: Job
    tally: Tally
    names: Mapping[IPAddress, str] = field(default_factory=dict)
    version: tuple[int, int] = (0, 0)
    events: int = 0
    lost: int = 0

    def __post_init__(self) -> None:
        """Learn the names, and how wide a node's is."""
        self.width = max(map(len, self.job.nodes), default=0)
        self.learn()

    @property
    def enough(self) -> bool:
        """Whether as many were written as are wanted."""
        return bool(self.job.count) and self.events >= self.job.count

    def write(self, seen: Sequence[Seen]) -> None:
        """Write these, or as many of them as are wanted; a loss is no event, and always told."""
        if not all(address in self.names for one in seen for address in _addresses(one)):
            self.learn()
        for one in seen:
            if isinstance(one, Loss):
                self.lost += one.number or 0
            elif self.enough:
                continue
            else:
                self.events += 1
            self.put(self.line(one))
            self.tally.keep(self.events, self.lost, 0)

    def line(self, one: Seen) -> bytes:
        """Return a line of text, or of JSON."""
        if self.job.look is None:
            return f"{json.dumps(report.data(one, self.names))}\n".encode()
        return f"{report.line(one, self.names, self.job.look, width=self.width, usual=self.job.tool)}\n".encode()

    def learn(self) -> None:
        """Read who has which address, unless that is as it was; amid a change there are those that come, too."""
        version = state.version(self.job.lab)
        record = state.read(self.job.lab) if version != self.version else None
        if record is not None:
            self.version = version
            coming = targets.names(saved.restore(record.pending)) if record.pending else {}
            self.names = coming | targets.names(saved.restore(record.objects))

    def put(self, raw: bytes) -> None:
        """Write all of `raw`."""
        rest = memoryview(raw)
        while rest:
            rest = rest[os.write(STDOUT_FD, rest) :]


def _addresses(one: Seen) -> Iterator[IPAddress]:
    if isinstance(one, Loss):
        return
    for way in (one.flow.original, one.flow.reply) if isinstance(one, FlowChange) else (one.original,):
        yield way.src
        yield way.dst
