"""Evidence -> Journey: the legs, their ends, what they were for."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

from lab import words
from lab.journey import causes, unsent
from lab.journey.ends import end_of
from lab.journey.follow import look, tracks
from lab.journey.routing import is_arriving
from lab.journey.rules import Book
from lab.journey.sight import LOOPBACK, carried, places_of
from lab.journey.story import Story
from lab.journey.tell import told
from lab.model.flow import Tuple
from lab.model.journey import End, Journey, Leg
from lab.model.trace import UNHEARD, Tap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.model.flow import Flow
    from lab.model.journey import Step
    from lab.model.trace import Evidence, RouteQuestion


def assemble(evidence: Evidence) -> Journey:
    """Return the journey that `evidence` tells of; what it does not suffice for is `unknown`, or said in a note."""
    stories = _stories(evidence)
    replied = any(story.track.role == "reply" for story in stories)
    came = {"request": replied, "reply": evidence.reply.answered}
    ends = [end_of(story, answered=came.get(story.track.role, False)) for story in stories]
    legs = tuple(_leg(story, end, stories) for story, end in zip(stories, ends, strict=True))
    legs = (*legs, *unsent.reply(stories, ends)) if legs else (unsent.request(evidence, _original(evidence, ())),)
    request = evidence.request
    return Journey(
        asker=evidence.places.get(request.netns, request.netns),
        goal=evidence.names.get(request.address, str(request.address)),
        protocol=request.protocol,
        original=_original(evidence, stories),
        tool=evidence.tool,
        reply=evidence.reply,
        legs=legs,
        service=_service(legs[0].steps) or evidence.service,
        endpoint=next((step.endpoint for step in reversed(legs[0].steps) if step.endpoint), ""),
        flows=_flows(evidence, stories),
        notes=_notes(evidence),
        names=evidence.names,
        nodes=evidence.nodes,
    )


def questions(evidence: Evidence) -> tuple[RouteQuestion, ...]:
    """Return what routing is to be asked so that `assemble` can tell by which gateway packets went, or why not."""
    stories = _stories(evidence)
    asked = [decision.question for story in stories for decision in story.decisions]
    asked += unsent.questions(stories)
    return tuple(dict.fromkeys(asked)) or (unsent.first_question(evidence),)


def _stories(evidence: Evidence) -> list[Story]:
    book = Book(evidence.listings)
    places = places_of(evidence)
    seen = look(evidence, book, places)
    found = tracks(seen)
    return [told(track, book, places, evidence) for track in found if track.sights]


def _leg(story: Story, end: End, stories: Sequence[Story]) -> Leg:
    if end.kind == "lost" and story.track.role != "refusal":
        end = _told_the_sender(story, end, stories)
    lost = (unsent.lost(end, story.packet, story.mark),) if end.kind == "lost" else ()
    return Leg(
        role=story.track.role,
        packet=_kind(story),
        steps=(*story.steps, *lost),
        end=end,
        times=story.track.times,
    )


def _kind(story: Story) -> str:
    packet = carried(story.track.packet)
    return f"{packet.protocol} {packet.info}".rstrip()


def _sent_here(story: Story) -> bool:
    """Return whether a packet was sent where it was seen first, and did not merely come there."""
    first = story.track.sights[0]
    return not is_arriving(first) or (isinstance(first, Tap) and first.interface == LOOPBACK)


def _told_the_sender(story: Story, end: End, stories: Sequence[Story]) -> End:
    """Return the end of a packet that no rule refused: if an ICMP error came from where it was lost, it was refused."""
    for other in stories:
        if other.track.role == "refusal" and other.steps and other.steps[0].node == end.node and _sent_here(other):
            certain = carried(other.track.packet).protocol != "tcp"  # an ICMP error names its packet, a reset does not
            known = any(end.why.endswith(cause) for cause in (*causes.of(story), *causes.inside(story)))
            because = f", probably because {end.why}" if known else ""
            return End(kind="refused", node=end.node, why=f"it answered {_kind(other)}{because}", observed=certain)
    return end


def _original(evidence: Evidence, stories: Sequence[Story]) -> Tuple:
    asked, local = evidence.request, evidence.reply.local
    if local is None and stories:
        first = stories[0].steps[0].before
        local = (first.src, first.sport)
    nobody = ip_address("0.0.0.0" if asked.address.version == 4 else "::")  # noqa: PLR2004, S104 - not known
    source, port = local or (nobody, 0)
    return Tuple(src=source, sport=port, dst=asked.address, dport=asked.port)


def _service(steps: Sequence[Step]) -> str:
    """Return the service port that the rules on the way are of; those that decided come first."""
    for wanted in (True, False):
        for step in steps:
            if step.service and (bool(step.moments) or not wanted):
                return step.service
    return ""


def _flows(evidence: Evidence, stories: Sequence[Story]) -> tuple[Flow, ...]:
    """Return the request's entries, in the order in which it came by the nodes."""
    if not stories:
        return ()
    found: dict[str, Flow] = {}
    for node, packet in stories[0].entered.items():
        for flow in evidence.flows:
            if flow.node == node and flow.original == packet and flow.protocol == evidence.request.protocol:
                found.setdefault(node, flow)
    return tuple(found.values())


def _notes(evidence: Evidence) -> tuple[str, ...]:
    """Return what is missing from the evidence, a sentence each."""
    names = evidence.places
    notes = [
        f"{causes.pieces(number)} of {names.get(netns, netns)} were lost: steps may be missing"
        for netns, number in evidence.lost.items()
        if number
    ]
    if evidence.left_out:
        notes.append(f"{causes.pieces(evidence.left_out)} were not kept: there were too many")
    if evidence.unheard:
        deaf = words.several(sorted(names.get(netns, netns) for netns in evidence.unheard), "and")
        notes.append(f"{UNHEARD} on {deaf}: the kernel tells one lab.trace or lab.watch alone")
    notes += [
        f"the rules of {names.get(one.netns, one.netns)} changed meanwhile: their texts may be others'"
        for one in evidence.listings
        if not one.steady
    ]
    return tuple(notes)
