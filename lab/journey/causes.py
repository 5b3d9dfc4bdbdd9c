"""Why a packet may have been lost where no rule dropped it: each is concluded from what is known around it."""

from __future__ import annotations

import re
from itertools import takewhile
from typing import TYPE_CHECKING

from lab import words
from lab.journey import links
from lab.journey.sight import LOOPBACK, Pass, carried, ttl_of
from lab.model.trace import RouteQuestion, Tap

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lab.journey.story import Story
    from lab.model.trace import Evidence, Link

_BYTES = re.compile(r"(\d+) bytes")
_HEADERS = {4: 20, 6: 40}
_TRANSPORTS = {"tcp": 20, "udp": 8}
_VXLAN = 8 + 8 + 14  # bytes: UDP, VXLAN and the frame inside (RFC 7348)
_FORWARDING = "net.ipv4.ip_forward"
_FORWARDING6 = ("net.ipv6.conf.all.forwarding",)

# Counters of /proc/net/snmp, snmp6, netstat and of conntrack -> what they count, in words. Some say why by themselves;
# others only that something was given up.
_TELLING: Mapping[str, str] = {
    "TcpExt.IPReversePathFilter": "the reverse-path filter gave it up: answers would leave by another interface",
    "conntrack.drop": "conntrack gave it up: the table is full",
    "conntrack.insert_failed": "conntrack could not keep its entry: another one has the same tuple",
    "Ip.FragFails": "it is larger than the next link takes, and must not be cut",
    "Ip6.FragFails": "it is larger than the next link takes",
    "Ip6.InTooBigErrors": "it is larger than the next link takes",
}
_INSIDE: Mapping[str, str] = {
    "TcpExt.IPReversePathFilter": _TELLING["TcpExt.IPReversePathFilter"],
    "TcpExt.ListenOverflows": "the queue of its listener is full: the server does not accept",
}
_VAGUE: Mapping[str, str] = {
    "Ip.InNoRoutes": "there is no route for it",
    "IpExt.InNoRoutes": "there is no route for it",
    "Ip.OutNoRoutes": "there is no route for it",
    "Ip6.InNoRoutes": "there is no route for it",
    "Ip6.OutNoRoutes": "there is no route for it",
    "Ip.InAddrErrors": "its addresses are not accepted there",
    "Ip6.InAddrErrors": "its addresses are not accepted there",
    "Ip.InHdrErrors": "its hops were used up, or its header is wrong",
    "Ip6.InHdrErrors": "its hops were used up, or its header is wrong",
}


def not_seen(evidence: Evidence, netns: str) -> str:
    """Return why the evidence is not whole where a packet ended, "" if it is."""
    if evidence.lost.get(netns):
        return f"{pieces(evidence.lost[netns])} of it were lost"
    if evidence.left_out:
        return f"{pieces(evidence.left_out)} were not kept"
    return ""


def pieces(number: int) -> str:
    """Return how much evidence is missing, in words."""
    return words.count(number, "packet or event", "packets or events")


def of(story: Story) -> Iterator[str]:
    """Yield what may have become of the packet behind where it was last seen, the likeliest first."""
    yield from _no_hairpin(story)
    yield from links.misaddressed(story)
    if before_hooks(story):
        yield from _unhooked(story)
        return
    yield from _not_forwarded(story)
    yield from _used_up(story)
    yield from _counted(story, _TELLING)
    yield from _no_route(story)
    yield from _counted(story, _VAGUE)
    yield from links.down(story)
    yield from _neighbour(story)
    yield from _too_large(story)


def inside(story: Story) -> Iterator[str]:
    """Yield why a machine may have given up a packet for itself, which was seen to come in, and was not answered."""
    last = story.track.sights[-1]
    yield from _not_its_own(story)
    if isinstance(last, Tap) and last.direction == "in" and last.interface != LOOPBACK:
        yield from _from_itself(story, last)
    yield from _counted(story, _INSIDE)


def _not_its_own(story: Story) -> Iterator[str]:
    """A machine that lost its address takes nothing that is sent there."""
    answer = story.answers.get(own_question(story))
    if answer is not None and (answer.kind == "unicast" or not answer.leads):
        node, address = story.places.name(answer.question.netns), answer.question.destination
        yield f"{node} does not have the address {address} any more, asked afterwards"


def own_question(story: Story) -> RouteQuestion:
    """Return what is asked whether the machine to which a packet came has its address."""
    return RouteQuestion(netns=story.track.sights[-1].netns, destination=story.packet.dst)


def _from_itself(story: Story, last: Tap) -> Iterator[str]:
    """IPv4 takes nothing from outside whose source is one of its own addresses (fib_validate_source)."""
    source, node = story.packet.src, story.places.name(last.netns)
    known = story.evidence.sysctls.get(last.netns, {})
    takes = "1" in [known.get(f"net.ipv4.conf.{name}.accept_local") for name in ("all", last.interface)]
    if source.version == 4 and story.places.owner(source, last.netns) == last.netns and not takes:  # noqa: PLR2004 - IPv4
        yield f"it came from outside with {node}'s own address {source} as its source: {node} takes no such packet"


def before_hooks(story: Story) -> bool:
    """Return whether a request came to a node, where PREROUTING shows it if it comes so far, and did not."""
    last = story.track.sights[-1]
    if last.netns not in story.places.nodes or story.track.role != "request" or bridge_off(story):
        return False
    here = takewhile(lambda one: one.netns == last.netns, reversed(story.track.sights))
    return all(isinstance(one, Tap) and one.direction == "in" and one.interface != LOOPBACK for one in here)


def _unhooked(story: Story) -> Iterator[str]:
    last = story.track.sights[-1]
    yield from _counted(story, _VAGUE)
    yield from links.down(story)
    if isinstance(last, Tap) and carried(last.packet) is not last.packet:
        tunnels = [one for one in story.evidence.links if (one.netns, one.kind, one.up) == (last.netns, "vxlan", False)]
        yield from (links.is_down(story.evidence, one) for one in tunnels)
        yield f"it came in by {last.interface} in a tunnel, and not out of it; its carrier's way is not traced"
    elif isinstance(last, Tap):
        yield (
            f"it came in by {last.interface}, and was not seen in PREROUTING; what is before that is not traced: rules "
            "of the families netdev and bridge, tc"
        )


def _interface(story: Story) -> str:
    """Return the interface by which a packet came where it was last seen: the bridge, if it came by a port of one."""
    last = story.track.sights[-1]
    if isinstance(last, Pass):
        return last.iif
    return story.places.master(last.netns, last.interface) or last.interface


def _no_hairpin(story: Story) -> Iterator[str]:
    """A bridge does not send a frame back by the port it came by unless the port's hairpin mode is on."""
    ports = [one for one in story.track.sights if isinstance(one, Tap) and one.direction == "in"]
    last = story.track.sights[-1]
    if not ports or ports[-1].netns != last.netns or (isinstance(last, Pass) and last.hook != "PREROUTING"):
        return
    link = _port(story, ports)
    if link is None or link.hairpin is not False:
        return
    here = [at for at, one in enumerate(story.track.sights) if one.netns == last.netns]
    came_from = story.track.sights[here[0] - 1].netns if here[0] else ""
    if came_from and story.places.owner(story.packet.dst, last.netns) == came_from:
        yield f"the bridge {link.master} sends no frame back out of {link.name}, by which it came: hairpin is off"


def _port(story: Story, taps: list[Tap]) -> Link | None:
    passed = (story.places.links.get((tap.netns, tap.interface)) for tap in reversed(taps))
    return next((link for link in passed if link is not None and link.master), None)


def _not_forwarded(story: Story) -> Iterator[str]:
    last = story.track.sights[-1]
    waits = last.direction == "in" if isinstance(last, Tap) else last.hook == "PREROUTING"
    strange = story.places.owner(story.packet.dst, last.netns) != last.netns
    known = story.evidence.sysctls.get(last.netns, {})
    own = f"net.ipv4.conf.{_interface(story)}.forwarding"  # its interface's own decides
    names = _FORWARDING6 if story.packet.dst.version == 6 else (own, _FORWARDING)  # noqa: PLR2004 - IPv6
    name = next((name for name in names if name in known), "")
    if waits and strange and name and known[name] == "0":
        if name != _FORWARDING and known.get(_FORWARDING) == "0":
            name = _FORWARDING  # it has set those of all interfaces
        yield f"{story.places.name(last.netns)} does not forward packets: {name} is 0"


def _used_up(story: Story) -> Iterator[str]:
    last = story.track.sights[-1]
    waits = last.direction == "in" if isinstance(last, Tap) else last.hook == "PREROUTING"
    if waits and ttl_of(last) == 1 and story.places.owner(story.packet.dst, last.netns) != last.netns:
        limit = "hop limit" if story.packet.dst.version == 6 else "TTL"  # noqa: PLR2004 - IPv6
        yield f"its {limit} was 1: {story.places.name(last.netns)} sends it no further"


def _no_route(story: Story) -> Iterator[str]:
    last = story.track.sights[-1]
    for decision in story.decisions[-1:]:
        answer = story.answers.get(decision.question)
        if answer is None or decision.question.netns != last.netns or decision.oif:
            continue
        if why := links.no_way(story.evidence, answer):
            yield why


def _counted(story: Story, counters: Mapping[str, str]) -> Iterator[str]:
    """Counters are of the whole machine: that one rose while the packet was lost is a hint, and said to be one."""
    netns = story.track.sights[-1].netns
    risen = story.evidence.risen.get(netns, {})
    for name, means in counters.items():
        if risen.get(name):
            yield f"{means} ({name} of {story.places.name(netns)} rose by {risen[name]})"


def _neighbour(story: Story) -> Iterator[str]:
    last = story.track.sights[-1]
    if isinstance(last, Pass) or last.direction == "out":
        yield from links.unanswered(story.evidence, last.netns)


def _too_large(story: Story) -> Iterator[str]:
    """What a link's end does not take is lost in silence, if the sender's end takes it."""
    packet = story.track.packet
    found = _BYTES.search(packet.info)
    last = story.track.sights[-1]
    if found is None or packet.destination is None:
        return
    size = int(found[1]) + _HEADERS[packet.destination.version] + _TRANSPORTS.get(packet.protocol, 0)
    hops, name = links.next_hops(story), last.oif if isinstance(last, Pass) else last.interface
    for end in links.carriers_end(story):
        size += _VXLAN + _HEADERS[end.version]
        hops = {end}
    known = story.places.links
    there = (link for link in known.values() if link.netns != last.netns and hops.intersection(link.addresses))
    for link in (known.get((last.netns, name)), *there):
        if link is not None and 0 < link.mtu < size:
            where = "" if link.netns == last.netns else f" of {story.places.name(link.netns)}"
            yield f"it has {size} bytes, and {link.name}{where} takes {link.mtu}"


def bridge_off(story: Story) -> str:
    """Return that frames of a bridge on the way pass no iptables, "" if they do."""
    for one in story.track.sights:
        if isinstance(one, Tap) and story.places.master(one.netns, one.interface):
            name = f"net.bridge.bridge-nf-call-ip{'6' if story.packet.dst.version == 6 else ''}tables"  # noqa: PLR2004 - IPv6
            if story.evidence.sysctls.get(one.netns, {}).get(name) == "0":
                bridge = story.places.master(one.netns, one.interface)
                return f"{name} is 0 on {story.places.name(one.netns)}: what {bridge} forwards is not translated back"
    return ""
