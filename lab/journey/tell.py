"""One packet's sights in order -> its steps, from interface to hook to interface, and where it was routed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from lab.journey import causes, entries, hooks, routing
from lab.journey.sight import LOOPBACK, Pass, carried, first_tuple, ttl_of
from lab.journey.story import Story
from lab.journey.translation import translated
from lab.model.flow import Tuple
from lab.model.journey import Moment, Step
from lab.model.trace import Tap

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lab.journey.rules import Book
    from lab.journey.sight import Places, Sight, Track
    from lab.model.address import IPAddress
    from lab.model.trace import Evidence


def told(track: Track, book: Book, places: Places, evidence: Evidence) -> Story:
    """Return the story of a packet."""
    first = next(filter(None, map(first_tuple, track.sights)), None)
    request = evidence.request
    answers = {route.question: route for route in evidence.routes}
    nobody = Tuple(src=request.address, dst=request.address)
    story = Story(track, book, places, evidence, answers, first or nobody, _names(evidence))
    if track.role == "request" and track.sights and track.sights[0].netns == request.netns:
        _route(story, routing.of_sender(track.sights, request.netns, story.packet))
    for at, sight in enumerate(track.sights):
        _arrive(story, at, sight)
        if isinstance(sight, Tap):
            _tap(story, at, sight)
        else:
            asked = story.packet.dst
            _hook(story, at, sight)
            if sight.hook == "OUTPUT" and asked != story.packet.dst:
                _route(story, routing.of_translated(track.sights, at, story.packet, story.mark))
        _bridge(story, at)
        decision = routing.behind(track.sights, at, places, story.packet, story.mark)
        if decision is not None and not _ended(story, at):
            _route(story, decision)
    return story


def _ended(story: Story, at: int) -> bool:
    """Return whether a packet came to its end at a sight, the last one: it was not routed behind that."""
    if at + 1 < len(story.track.sights):
        return False
    return story.steps[-1].verdict in ("drop", "reject") or causes.before_hooks(story)


def _names(evidence: Evidence) -> Mapping[IPAddress, str]:
    """Return who has which address; of a node's that of its pod that answered, which shares its network."""
    pod, node = evidence.reply.pod, evidence.reply.node
    if not pod or node not in evidence.nodes:
        return evidence.names
    return {address: pod if name == node else name for address, name in evidence.names.items()}


def _arrive(story: Story, at: int, sight: Sight) -> None:
    """See how the packet looks now: what changed since it was last seen was changed where it now is."""
    now = first_tuple(sight)
    last = story.track.sights[at - 1] if at else None
    moved = last is None or last.netns != sight.netns or _came_by_loopback(sight)
    if now is not None and now != story.packet and story.steps:
        where = last.netns if last is not None and moved else sight.netns
        story.add(_change(story, where, now))
    if moved:
        story.mark = None
        story.entered[sight.netns] = now or story.packet


def _came_by_loopback(sight: Sight) -> bool:
    return isinstance(sight, Tap) and sight.interface == LOOPBACK


def _change(story: Story, netns: str, now: Tuple) -> Step:
    flow = entries.flow_of(story, netns, story.entered.get(netns, story.packet))
    return _titled(story, translated(story.places.name(netns), story.packet, now, flow, story.mark), netns)


def _titled(story: Story, step: Step, netns: str) -> Step:
    """Return the step of a change without a rule, called by its name: a request's first packet is told otherwise.

    Rules do translate that one, so they were there, and were not seen: events were lost, or there were none. But for a
    source port, which conntrack itself changes if need be.
    """
    if story.track.role != "request" or step.kind != "conntrack" or step.observed:
        return step
    dnat = (step.before.dst, step.before.dport) != (step.after.dst, step.after.dport)
    snat = (step.before.src, step.before.sport) != (step.after.src, step.after.sport)
    source: Moment = "port-changed" if _by_itself(story, step, netns) else "masquerade"
    alone = source == "port-changed" and not dnat
    why = "and no rule did it: another flow has that tuple" if alone else "and no rule was seen to do it"
    moments: tuple[Moment, ...] = (*(("dnat",) if dnat else ()), *((source,) if snat else ()))
    return replace(step, moments=moments, text=step.text.replace("and no rule was asked", why))


def _by_itself(story: Story, step: Step, netns: str) -> bool:
    """Return whether conntrack has changed a source port without a rule: the replies were another flow's already.

    Masquerading takes an address of the node's own. Where the source is such a one already, only the rules that the
    packet met tell the two apart; what belongs to an entry that was there before met none.
    Source: get_unique_tuple in nf_nat_core.c.
    """
    if step.before.src != step.after.src:
        return False
    own = any(step.before.src in link.addresses for link in story.evidence.links if link.netns == netns)
    return not own or (entries.met_nat(story, netns) and not causes.not_seen(story.evidence, netns))


def _tap(story: Story, at: int, tap: Tap) -> None:
    mark = tap.mark if tap.mark is not None else story.mark
    carrier = carried(tap.packet) is not tap.packet
    here = first_tuple(tap) or story.packet
    text = f"in {_carrier(tap)}" if carrier else ""
    hairpin = _goes_back(story, at, tap)
    step = Step(
        node=story.places.name(tap.netns),
        kind="tap",
        before=here,
        after=here,
        interface=tap.interface,
        direction=tap.direction,
        ttl=ttl_of(tap),
        mark_before=mark,
        mark_after=mark,
        time_ns=tap.time_ns,
        text=text,
        moments=("hairpin",) if hairpin else (),
        matters=not _is_between(story, tap),
    )
    story.add(step)


def _carrier(tap: Tap) -> str:
    packet = tap.packet
    return f"{packet.protocol} {packet.info}".strip() + f", {packet.source} -> {packet.destination}"


def _is_between(story: Story, tap: Tap) -> bool:
    """Return whether a tap is a bridge's own, and one of its ports shows the packet just as well."""
    sights = story.track.sights
    near = [one for one in sights if isinstance(one, Tap) and one.netns == tap.netns and one is not tap]
    return any(story.places.master(one.netns, one.interface) == tap.interface for one in near)


def _goes_back(story: Story, at: int, tap: Tap) -> bool:
    """Return whether a packet leaves for the machine that it came from, unless a bridge's step tells so already."""
    sights = story.track.sights
    if tap.direction != "out" or routing.bridged(sights, at - 1, story.places) is not None:
        return False
    came = next((number for number in range(at - 1, -1, -1) if sights[number].netns != tap.netns), None)
    following = next((one for one in sights[at + 1 :] if isinstance(one, Tap)), None)
    if came is None or following is None or not any(map(routing.is_arriving, sights[came + 1 : at])):
        return False
    sent = not isinstance(sights[came], Tap) or not routing.is_arriving(sights[came])
    return sent and following.direction == "in" and following.netns == sights[came].netns


def _bridge(story: Story, at: int) -> None:
    """Tell of a bridge that forwards the frame: behind PREROUTING, or behind the port if there is no such hook."""
    sights = story.track.sights
    ports = routing.bridged(sights, at, story.places)
    sight = sights[at]
    if (
        ports is None
        or not routing.is_arriving(sight)
        or (at + 1 < len(sights) and routing.is_arriving(sights[at + 1]))
    ):
        return
    came, leaves = ports
    story.add(
        Step(
            node=story.places.name(sight.netns),
            kind="bridge",
            before=story.packet,
            after=story.packet,
            interface=came.interface,
            out_interface=leaves.interface,
            mark_before=story.mark,
            mark_after=story.mark,
            text=f"{story.places.master(came.netns, came.interface)} forwards the frame",
            moments=("hairpin",) if came.interface == leaves.interface else (),
        )
    )


def _hook(story: Story, at: int, one: Pass) -> None:
    setting = hooks.Setting(
        node=story.places.name(one.netns),
        packet=story.packet,
        mark=story.mark,
        behind=_behind(story, at),
        flow=entries.flow_of(story, one.netns, story.entered.get(one.netns, story.packet)),
        names=story.names,
        protocol=carried(story.track.packet).protocol,
    )
    for step in hooks.steps(one, story.book, setting):
        story.add(_titled(story, step, one.netns))
    entry = entries.told(story, one, setting.flow)
    if entry is not None:
        story.add(entry)


def _behind(story: Story, at: int) -> Tuple | None:
    """Return how the packet looked when it was seen next; behind INPUT there is nobody to see it."""
    return next((first_tuple(sight) for sight in story.track.sights[at + 1 :]), None)


def _route(story: Story, decision: routing.Decision) -> None:
    story.decisions.append(decision)
    node = story.places.name(decision.question.netns)
    step = routing.step(decision, story.answers, node, story.packet, story.mark)
    if step is not None:
        story.add(step)
