"""Why a packet may have been lost where no rule dropped it: each is concluded from what is known around it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lab import words
from lab.journey.routing import refusal
from lab.journey.sight import Pass
from lab.model.trace import Tap

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lab.journey.story import Story
    from lab.model.trace import Evidence, Link

_SOLICITATION = "neighbour solicitation of "
_ANSWERS = ("reply ", "neighbour advertisement")
_BYTES = re.compile(r"(\d+) bytes")
_HEADERS = {4: 20, 6: 40}
_TRANSPORTS = {"tcp": 20, "udp": 8}

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
        return f"{words.count(evidence.lost[netns], 'packet or event', 'packets or events')} of it were lost"
    if evidence.left_out:
        return f"{words.count(evidence.left_out, 'packet or event', 'packets or events')} were not kept"
    return ""


def of(story: Story) -> Iterator[str]:
    """Yield what may have become of the packet behind where it was last seen, the likeliest first."""
    yield from _no_hairpin(story)
    yield from _not_forwarded(story)
    yield from _counted(story, _TELLING)
    yield from _no_route(story)
    yield from _counted(story, _VAGUE)
    yield from _neighbour(story)
    yield from _too_large(story)


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
    links = (story.places.links.get((tap.netns, tap.interface)) for tap in reversed(taps))
    return next((link for link in links if link is not None and link.master), None)


def _not_forwarded(story: Story) -> Iterator[str]:
    last = story.track.sights[-1]
    name = "net.ipv6.conf.all.forwarding" if story.packet.dst.version == 6 else "net.ipv4.ip_forward"  # noqa: PLR2004
    waits = last.direction == "in" if isinstance(last, Tap) else last.hook == "PREROUTING"
    strange = story.places.owner(story.packet.dst, last.netns) != last.netns
    if waits and strange and story.evidence.sysctls.get(last.netns, {}).get(name) == "0":
        yield f"{story.places.name(last.netns)} does not forward packets: {name} is 0"


def _no_route(story: Story) -> Iterator[str]:
    last = story.track.sights[-1]
    for decision in story.decisions[-1:]:
        answer = story.answers.get(decision.question)
        if answer is None or decision.question.netns != last.netns or decision.oif:
            continue
        if why := refusal(answer):
            yield f"{story.places.name(last.netns)} has {why} for {decision.question.destination}, asked afterwards"


def _counted(story: Story, counters: Mapping[str, str]) -> Iterator[str]:
    """Counters are of the whole machine: that one rose while the packet was lost is a hint, and said to be one."""
    netns = story.track.sights[-1].netns
    risen = story.evidence.risen.get(netns, {})
    for name, means in counters.items():
        if risen.get(name):
            yield f"{means} ({name} of {story.places.name(netns)} rose by {risen[name]})"


def _neighbour(story: Story) -> Iterator[str]:
    """Who is to be sent to is asked for on the link first; nothing is sent to one who does not answer."""
    last = story.track.sights[-1]
    if isinstance(last, Tap) and last.direction == "in":
        return
    here = [tap for tap in story.evidence.taps if tap.netns == last.netns]
    answered = {str(tap.packet.source) for tap in here if tap.packet.info.startswith(_ANSWERS)}
    for tap in here:
        packet = tap.packet
        asks = packet.info == "request" if packet.protocol == "arp" else packet.info.startswith(_SOLICITATION)
        wanted = str(packet.destination) if packet.protocol == "arp" else packet.info.removeprefix(_SOLICITATION)
        if tap.direction == "out" and asks and wanted not in answered:
            yield f"nobody answered who has {wanted}"
            return


def _too_large(story: Story) -> Iterator[str]:
    packet = story.track.packet
    found = _BYTES.search(packet.info)
    last = story.track.sights[-1]
    if found is None or packet.destination is None:
        return
    size = int(found[1]) + _HEADERS[packet.destination.version] + _TRANSPORTS.get(packet.protocol, 0)
    name = last.oif if isinstance(last, Pass) else last.interface
    link = story.places.links.get((last.netns, name))
    if link is not None and 0 < link.mtu < size:
        yield f"it has {size} bytes, and {name} takes {link.mtu}"


def bridge_off(story: Story) -> str:
    """Return that frames of a bridge on the way pass no iptables, "" if they do."""
    for one in story.track.sights:
        if isinstance(one, Tap) and story.places.master(one.netns, one.interface):
            name = f"net.bridge.bridge-nf-call-ip{'6' if story.packet.dst.version == 6 else ''}tables"  # noqa: PLR2004
            if story.evidence.sysctls.get(one.netns, {}).get(name) == "0":
                bridge = story.places.master(one.netns, one.interface)
                return f"{name} is 0 on {story.places.name(one.netns)}: what {bridge} forwards is not translated back"
    return ""
