"""Packets that were never sent: the request's, or the reply's; and why that may be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.journey import causes, links
from lab.journey.ends import arrived
from lab.model.journey import End, Leg, Step
from lab.model.trace import RouteQuestion

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lab.journey.story import Story
    from lab.model.flow import Tuple
    from lab.model.trace import Evidence

_NO_ADDRESS = "eaddrnotavail"


def request(evidence: Evidence, packet: Tuple) -> Leg:
    """Return the leg of a request that nobody saw: it was not sent, or not traced."""
    asked, error = evidence.request, evidence.reply.error
    node = evidence.places.get(asked.netns, asked.netns)
    kind = "tcp [S]" if asked.protocol == "tcp" else "udp"
    if why := next(_not_sent(evidence, node), ""):
        end = End(kind="lost", node=node, why=f"no packet was sent: {why}", observed=False)
        return Leg(role="request", packet=kind, steps=(lost(end, packet, None),), end=end, times=0)
    why = "no packet of the request was seen" + (f"; the asker's error is {error}" if error else "")
    end = End(kind="unknown", node=node, why=why, observed=False)
    return Leg(role="request", packet=kind, steps=(), end=end, times=0)


def first_question(evidence: Evidence) -> RouteQuestion:
    """Return what is asked about a request that nobody saw."""
    return RouteQuestion(netns=evidence.request.netns, destination=evidence.request.address)


def _not_sent(evidence: Evidence, node: str) -> Iterator[str]:
    """Yield why an asker, who is called `node`, may have sent nothing."""
    asked = evidence.request
    answer = next((one for one in evidence.routes if one.question == first_question(evidence)), None)
    if evidence.reply.error == _NO_ADDRESS:
        yield from _no_source(evidence, node)
    if answer is not None and (why := links.no_way(evidence, answer)):
        yield why
    for link in evidence.links:
        if answer is not None and (link.netns, link.name, link.up) == (asked.netns, answer.oif, False):
            yield links.is_down(evidence, link)
    yield from links.unanswered(evidence, asked.netns)


def _no_source(evidence: Evidence, node: str) -> Iterator[str]:
    """What is sent needs an address to be sent from, of the same family."""
    asked = evidence.request
    version = asked.address.version
    off = f"net.ipv{version}.conf.all.disable_ipv{version}"
    own = [address for link in evidence.links if link.netns == asked.netns for address in link.addresses]
    if not any(address.version == version for address in own):
        why = f": {off} is 1" if evidence.sysctls.get(asked.netns, {}).get(off) == "1" else ""
        yield f"{node} has no IPv{version} address to send from{why}"


def questions(stories: Sequence[Story]) -> Iterator[RouteQuestion]:
    """Yield what is asked where the request came to, if nothing came back from there: its address, and the way back."""
    for story in stories:
        if len(stories) == 1 and not story.evidence.reply.answered and arrived(story):
            yield causes.own_question(story)
            yield _way_back(story)
        if (question := links.sender_question(story)) is not None:
            yield question


def _way_back(story: Story) -> RouteQuestion:
    packet = story.packet
    return RouteQuestion(netns=story.track.sights[-1].netns, destination=packet.src, source=packet.dst)


def reply(stories: Sequence[Story], ends: Sequence[End]) -> Iterator[Leg]:
    """Yield the leg of a reply that was not sent, if it is known why; `ends` are those of `stories`."""
    if [story.track.role for story in stories] != ["request"] or ends[0].kind != "delivered":
        return
    (story,) = stories
    answer = story.answers.get(_way_back(story))
    if answer is None or story.evidence.reply.answered:
        return
    evidence, netns = story.evidence, answer.question.netns
    hop = answer.gateway or answer.question.destination
    why = links.no_way(evidence, answer) or next(links.unknown_neighbour(evidence, netns, hop), "")
    if why:
        why = f"no packet was sent: {why}"
        end = End(kind="lost", node=story.places.name(netns), why=why, observed=False)
        steps = (lost(end, story.packet.inverse, None),)
        yield Leg(role="reply", packet=evidence.request.protocol, steps=steps, end=end, times=0)


def lost(end: End, packet: Tuple, mark: int | None) -> Step:
    """Return the step that says that a packet was lost, and why."""
    return Step(
        node=end.node,
        kind="verdict",
        before=packet,
        after=packet,
        mark_before=mark,
        mark_after=mark,
        verdict="lost",
        text=end.why,
        moments=("lost",),
        observed=False,
    )
