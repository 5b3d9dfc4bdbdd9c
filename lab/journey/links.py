"""What is wrong with the way to the next machine: no route, a link that is down, a neighbour that is not the one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab import words
from lab.journey.routing import refusal
from lab.journey.sight import carried, first_tuple
from lab.model.trace import RouteQuestion, Tap

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.journey.story import Story
    from lab.model.address import IPAddress
    from lab.model.trace import Evidence, Link, Route

_SOLICITATION = "neighbour solicitation of "
_ANSWERS = ("reply ", "neighbour advertisement")
_ROUTED = ("veth", "bridge", "vxlan")
_UNANSWERED = ("FAILED", "INCOMPLETE")


def no_way(evidence: Evidence, route: Route) -> str:
    """Return why routing has no way, asked afterwards, "" if it has one; routes go when their link is set down."""
    why, netns = refusal(route), route.question.netns
    if not why:
        return ""
    gone = []
    if "ENETUNREACH" in (route.kind, route.plain):
        gone = [one.name for one in evidence.links if one.netns == netns and _is_out_of_use(one)]
    down = f": its {words.several(gone, 'and')} {'is' if len(gone) == 1 else 'are'} down" if gone else ""
    return f"{evidence.places.get(netns, netns)} {why}, asked afterwards{down}"


def _is_out_of_use(link: Link) -> bool:
    """Return whether a link was set down that routes lead by: no port of a bridge, nothing that begins and stays so."""
    return not link.enabled and not link.master and link.kind in _ROUTED


def down(story: Story) -> Iterator[str]:
    """Yield the links that are down: the receiver's, or the next machine's; then those where it was last seen."""
    last = story.track.sights[-1]
    name = last.interface if isinstance(last, Tap) else last.oif
    hops = carriers_end(story) or next_hops(story)
    links = story.places.links.values()
    there = [link for link in links if link.netns != last.netns and hops.intersection(link.addresses)]
    near = {name, story.places.master(last.netns, name)} - {""}
    here = [link for link in links if link.netns == last.netns and (link.name in near or link.master in near)]
    if any(link.up for link in there):  # then its bridge's other ports are none of its way
        here = [link for link in here if link.name == name]
    for link in (*there, *here):
        if not link.up:
            yield is_down(story.evidence, link)


def is_down(evidence: Evidence, link: Link) -> str:
    """Return which end of a link that is down was set down, as far as that is known."""
    place = evidence.places.get(link.netns, link.netns)
    if not link.enabled:
        return f"{link.name} of {place} is administratively down"
    ends = [one for one in evidence.links if _is_other_end(one, link) and not one.enabled]
    if len(ends) == 1:
        return is_down(evidence, ends[0])
    return f"{link.name} of {place} has no carrier"


def _is_other_end(one: Link, link: Link) -> bool:
    """Return whether two links may be the ends of one veth pair: indices are those of each one's own namespace."""
    return bool(link.peer) and one.netns != link.netns and (one.number, one.peer) == (link.peer, link.number)


def misaddressed(story: Story) -> Iterator[str]:
    """A frame is taken by who has the MAC that it is addressed to, and by nobody else."""
    first, links = sender_question(story), story.evidence.links
    for question in reversed([*([first] if first else []), *(one.question for one in story.decisions)]):
        netns, answer = question.netns, story.answers.get(question)
        if answer is None or answer.kind != "unicast":
            continue
        frame, later = _sent(story, netns, answer.oif)
        if frame is None or not frame.to or _is_for_many(frame.to):
            continue
        hop = answer.gateway or question.destination
        owners = {one.netns for one in links if one.netns != netns and hop in one.addresses}
        macs = [one.mac for one in links if one.netns in owners and hop in one.addresses and one.mac]
        takers = {one.netns for one in links if one.mac == frame.to}
        if macs and not takers & (owners | later):
            whose = words.several([story.places.name(name) for name in sorted(owners)], "or")
            entry = _entry(story, netns, hop)
            yield f"it was sent to MAC {frame.to}, which is not {whose}'s ({', '.join(macs)}){entry}"


def _sent(story: Story, netns: str, interface: str) -> tuple[Tap | None, set[str]]:
    """Return the frame by which a machine last sent the packet on by an interface, and where it was seen behind."""
    sights = story.track.sights
    for at in range(len(sights) - 1, -1, -1):
        one = sights[at]
        if isinstance(one, Tap) and (one.netns, one.interface, one.direction) == (netns, interface, "out"):
            return one, {later.netns for later in sights[at + 1 :]}
    return None, set()


def sender_question(story: Story) -> RouteQuestion | None:
    """Return what routing is asked of the machine that sent a reply, which is not told, but for a reply's loss."""
    first = story.track.sights[0]
    way = first_tuple(first)
    if story.track.role == "request" or story.evidence.reply.answered or way is None:
        return None
    return RouteQuestion(netns=first.netns, destination=way.dst, source=way.src)


def _is_for_many(mac: str) -> bool:
    return bool(int(mac[:2], 16) & 1)


def _entry(story: Story, netns: str, hop: IPAddress) -> str:
    for one in story.evidence.neighbours:
        if (one.netns, one.address) == (netns, hop) and one.mac:
            return (
                f"; {story.places.name(netns)} has it so in its neighbour table: {hop} dev {one.interface} {one.state}"
            )
    return ""


def unanswered(evidence: Evidence, netns: str) -> Iterator[str]:
    """Who is to be sent to is asked for on the link first; nothing is sent to one who does not answer."""
    here = [tap for tap in evidence.taps if tap.netns == netns]
    answered = {str(tap.packet.source) for tap in here if tap.packet.info.startswith(_ANSWERS)}
    for tap in here:
        packet = tap.packet
        asks = packet.info == "request" if packet.protocol == "arp" else packet.info.startswith(_SOLICITATION)
        wanted = str(packet.destination) if packet.protocol == "arp" else packet.info.removeprefix(_SOLICITATION)
        if tap.direction == "out" and asks and wanted not in answered:
            yield f"nobody answered who has {wanted}{_lacks(evidence, wanted)}"
            return


def _lacks(evidence: Evidence, wanted: str) -> str:
    """Return that the machine that should have an address did not have it, if it was looked at."""
    named = next((name for address, name in evidence.names.items() if str(address) == wanted), "")
    name = named.partition("/")[0]  # a node's own address on a bridge has that one's name too: `node-1/cbr0`
    theirs = [one for one in evidence.links if evidence.places.get(one.netns) == name]
    lost = theirs and all(wanted not in map(str, one.addresses) for one in theirs)
    return f": {name} does not have this address any more" if lost else ""


def unknown_neighbour(evidence: Evidence, netns: str, hop: IPAddress) -> Iterator[str]:
    """Yield that nobody has answered who has `hop`, as the taps show it, or the neighbour table."""
    asked = f"nobody answered who has {hop}"
    yield from (why for why in unanswered(evidence, netns) if why.startswith(asked))
    for one in evidence.neighbours:
        if (one.netns, one.address) == (netns, hop) and one.state in _UNANSWERED:
            yield f"{asked}: its entry in {evidence.places.get(netns, netns)}'s neighbour table is {one.state}"


def carriers_end(story: Story) -> set[IPAddress]:
    """Return to whom a packet's carrier is sent, if it was last seen in a tunnel."""
    last = story.track.sights[-1]
    if not isinstance(last, Tap) or last.packet.destination is None or carried(last.packet) is last.packet:
        return set()
    return {last.packet.destination}


def next_hops(story: Story) -> set[IPAddress]:
    """Return to whom the packet is sent next, as far as that is known: its receiver, or a gateway."""
    answers = [story.answers.get(decision.question) for decision in story.decisions[-1:]]
    gateways = {answer.gateway for answer in answers if answer is not None and answer.gateway is not None}
    return gateways or {story.packet.dst}
