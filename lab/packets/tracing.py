"""The work of a trace inside the capsule: the request, the recording of its packets, and the questions behind it."""

from __future__ import annotations

import os
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import replace
from ipaddress import ip_address
from typing import TYPE_CHECKING

from lab.ask import ports, traffic
from lab.journey import questions
from lab.kernel import conntrack, netns, network, sysctl, tap, trace, trace_events
from lab.model.trace import OWN_TABLE, WAYS, Evidence, Job, Link, Neighbour, Route, RouteQuestion, Tap
from lab.packets.traced_rules import Rules
from lab.parse import conntrack as entries
from lab.parse.frame import frame
from lab.parse.trace import Concerned, events

if TYPE_CHECKING:
    from lab.model.flow import Flow
    from lab.model.request import Reply

    Counts = Mapping[str, Mapping[str, int]]

GIVEN_UP = frozenset(
    f"{group}.{word}"
    for group, words in {
        "Ip": "InHdrErrors InAddrErrors InUnknownProtos InDiscards OutDiscards OutNoRoutes ReasmFails FragFails",
        "IpExt": "InNoRoutes InTruncatedPkts InCsumErrors",
        "Ip6": "InHdrErrors InTooBigErrors InNoRoutes InAddrErrors InUnknownProtos InTruncatedPkts InDiscards"
        " OutDiscards OutNoRoutes ReasmFails FragFails",
        "Icmp": "InErrors InCsumErrors OutRateLimitGlobal OutRateLimitHost",
        "Icmp6": "InErrors InCsumErrors OutRateLimitHost",
        "Tcp": "InErrs InCsumErrors OutRsts RetransSegs",
        "TcpExt": "IPReversePathFilter ListenOverflows ListenDrops TCPBacklogDrop TCPReqQFullDrop OutOfWindowIcmps"
        " LockDroppedIcmps",
        "Udp": "NoPorts InErrors RcvbufErrors SndbufErrors InCsumErrors",
        "Udp6": "NoPorts InErrors RcvbufErrors SndbufErrors InCsumErrors",
        "conntrack": "invalid insert_failed drop early_drop error",
    }.items()
    for word in words.split()
)
"""Counters of packets that the kernel gave up, or refused; proc(5), Documentation/networking/snmp_counter.rst."""

_MAC = 6  # bytes: a frame begins with whom it is addressed to
_SYSCTLS = (
    "net.ipv4.ip_forward",
    "net.bridge.bridge-nf-call-iptables",
    "net.bridge.bridge-nf-call-ip6tables",
    "net.netfilter.nf_log.2",
    "net.netfilter.nf_log.10",
)
_CONF = ("forwarding", "rp_filter", "route_localnet", "accept_local", "src_valid_mark")
_CONF6 = ("forwarding", "disable_ipv6")


def work(job: Job) -> Evidence:
    """Inside the capsule: make the request, and return what the kernel told of it."""
    table = f"{OWN_TABLE}-{os.getpid()}"
    before = Before(job)
    sockets = ports.bound([(job.request, job.ends)], job.nodes)
    with trace.recording(tuple(job.places), before.rules.watches, table) as recorder:
        before.note()
        (reply,) = traffic.requests([job.request], sockets=sockets)
        recorder.stop()
        return evidence(job, reply, before, recorder.result(), table)


class Before:
    """What a capsule's namespaces were like before the request: their rules, and what was counted."""

    def __init__(self, job: Job) -> None:
        """Look which namespaces have rules."""
        self._job = job
        self.rules = Rules(job)
        self.counters: dict[str, dict[str, int]] = {}
        self.links = {name: _links_in(name) for name in job.places}

    def note(self) -> None:
        """Note what changes while packets pass; the tables that ask for the trace must be there already."""
        self.counters = _counted(self._job)
        self.rules.note()


def evidence(job: Job, reply: Reply, before: Before, found: trace.Recording, table: str) -> Evidence:
    """Return what was recorded, decoded, with all that stands around it."""
    indices = {name: {one.number: one.name for one in links} for name, links in before.links.items()}
    flows = _flows(job, reply)
    concerned = Concerned(_ports(reply, flows))
    told = tuple(events(trace_events.cut(found.datagrams), indices, table, concerned))
    bridged = {(name, one.name) for name, links in before.links.items() for one in links if one.master}
    taps = tuple(_tap(one) for one in found.frames if concerned(one.data[_ip_at(one) :]) and not _astray(one, bridged))
    result = Evidence(
        request=job.request,
        reply=reply,
        tool=job.tool,
        places=job.places,
        nodes=job.nodes,
        names=job.names,
        taps=taps,
        events=told,
        listings=tuple(before.rules.listings(told)),
        links=tuple(_link(name, one) for name, links in before.links.items() for one in links),
        flows=flows,
        neighbours=() if reply.answered else tuple(_neighbours(job)),
        risen=_risen(before.counters, _counted(job)),
        sysctls=_sysctls(job, taps),
        lost=found.lost,
        left_out=found.left_out,
        whole=before.rules.whole(told).difference(found.unheard),
        unheard=frozenset(found.unheard),
        service=job.service,
    )
    return replace(result, routes=tuple(map(_route, questions(result))))


def _ports(reply: Reply, flows: Iterable[Flow]) -> set[int]:
    """Return the ports by which the request's packets are known: the asker's own, and what masquerading made of it."""
    own = {reply.local[1]} if reply.local else set()
    return own.union(*({flow.original.sport, flow.reply.dport} for flow in flows))


def _ip_at(one: tap.Frame) -> int:
    return 14 if one.hardware in (tap.ETHERNET, tap.LOOPBACK) else 0


def _links_in(name: str) -> list[network.LinkFacts]:
    with netns.inside(name):
        return network.links()


def _link(name: str, one: network.LinkFacts) -> Link:
    return Link(
        netns=name,
        name=one.name,
        kind=one.kind,
        master=one.master,
        hairpin=one.hairpin,
        addresses=tuple(map(ip_address, one.addresses)),
        mtu=one.mtu,
        up=one.up,
        enabled=one.enabled,
        number=one.number,
        peer=one.peer if one.kind == "veth" else 0,
        mac=one.mac.hex(":"),
    )


def _astray(one: tap.Frame, ports: Container[tuple[str, str]]) -> bool:
    """Return whether a frame is for another machine: a bridge that did not know better sent it to all of its ports.

    The kernel gives it up before any hook (ip_rcv_core), unless it came to a bridge's port.
    """
    return one.direction == "in" and one.kind == tap.OTHERHOST and (one.netns, one.interface) not in ports


def _tap(one: tap.Frame) -> Tap:
    ethernet = one.hardware in (tap.ETHERNET, tap.LOOPBACK)
    return Tap(
        netns=one.netns,
        interface=one.interface,
        direction=one.direction,
        time_ns=one.time_ns,
        mark=one.mark,
        packet=frame(one.data, ethernet=ethernet, protocol=one.protocol),
        to=one.data[:_MAC].hex(":") if one.hardware == tap.ETHERNET else "",
    )


def _flows(job: Job, reply: Reply) -> tuple[Flow, ...]:
    """Return the flows of the request on all nodes, each asked for by what the node before made of it."""
    if reply.local is None:
        return ()
    (source, source_port), request = reply.local, job.request
    seen = {(str(source), str(request.address), source_port, request.port)}
    found: list[Flow] = []
    waiting = list(seen)
    while waiting:
        original = waiting.pop()
        for name in job.nodes:
            with netns.inside(name):
                entry = conntrack.find(ports.PROTOCOLS[request.protocol], original)
            if entry is None or entry["original"] != original:
                continue
            found += entries.flows(name, [entry])
            answering, asking, answering_port, asking_port = entry["reply"]
            onward = (asking, answering, asking_port, answering_port)
            if onward not in seen:
                seen.add(onward)
                waiting.append(onward)
    return tuple(found)


def _counted(job: Job) -> dict[str, dict[str, int]]:
    found = {}
    for name in job.places:
        with netns.inside(name):
            found[name] = network.counters()
    return found


def _risen(before: Counts, after: Counts) -> dict[str, dict[str, int]]:
    """Return which of the counters that matter have risen, by how much."""
    found = {}
    for name, counts in after.items():
        rises = {word: count - before[name].get(word, 0) for word, count in counts.items() if word in GIVEN_UP}
        if rises := {word: rise for word, rise in rises.items() if rise > 0}:
            found[name] = rises
    return found


def _sysctls(job: Job, taps: Iterable[Tap]) -> dict[str, dict[str, str]]:
    """Return the sysctls that decide what becomes of a packet, of the interfaces that it passed."""
    passed: dict[str, dict[str, None]] = {name: {"all": None} for name in job.places}
    for one in taps:
        passed[one.netns][one.interface] = None
    four = job.request.address.version == 4  # noqa: PLR2004 - IPv4
    found = {}
    for name, interfaces in passed.items():
        keys = [
            *_SYSCTLS,
            *(
                f"net.ipv{4 if four else 6}.conf.{link.replace('.', '/')}.{word}"
                for link in interfaces
                for word in (_CONF if four else _CONF6)
            ),
        ]
        with netns.inside(name):
            found[name] = {key: sysctl.read(key) for key in keys if sysctl.exists(key)}
    return found


def _neighbours(job: Job) -> Iterator[Neighbour]:
    for name in job.places:
        with netns.inside(name):
            for one in network.neighbours():
                yield Neighbour(
                    netns=name,
                    interface=one.interface,
                    address=ip_address(one.address),
                    mac=one.mac.hex(":"),
                    state=one.state,
                )


def _route(question: RouteQuestion) -> Route:
    to, source = question.destination.packed, question.source.packed if question.source else b""
    plain = refusing = ""
    with netns.inside(question.netns):
        told = network.route(to, source, question.iif, question.mark)
        if told.kind not in WAYS:
            plain = network.route(to, b"", "", question.mark).kind
            refusing = "" if plain in WAYS else network.refusing(to)
    return Route(
        question=question,
        kind=told.kind,
        oif=told.oif,
        gateway=ip_address(told.gateway) if told.gateway else None,
        source=ip_address(told.source) if told.source else None,
        plain=plain,
        refusing=refusing,
    )
