"""A journey in one sentence, and the words for what became of a packet and of the request."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from lab import words
from lab.report.journey_rounds import folded, stays

if TYPE_CHECKING:
    from lab.model.journey import End, Journey, Leg, Moment, Step

PORT_TAKEN = "another flow has that tuple"
"""Why conntrack gives a flow another source port, though no rule says so."""

MOMENTS: dict[Moment, str] = {
    "choose": "chosen",
    "dnat": "DNAT",
    "mark": "mark set",
    "mark-read": "mark read",
    "masquerade": "masqueraded",
    "snat": "SNAT",
    "port-changed": "port changed",
    "untracked": "untracked",
    "act": "acted on",
    "hairpin": "hairpin",
    "reply-translated": "translated back",
    "reject": "refused",
    "drop": "dropped",
    "lost": "lost",
}
"""What each moment is called, in text and in pictures."""

_DEAD = {"dropped": "dropped it", "refused": "refused it", "lost": "lost it"}
_TOLD = {
    "timeout": "gave up",
    "refused": "was refused",
    "unreachable": "was told that there is no way",
    "reset": "was cut off",
}


def odds(step: Step) -> str:
    """Return how likely a choice was: `1 of 2`, `the only one`, "" if it is not known."""
    if step.share is None:
        return ""
    near = step.share.limit_denominator(1000)
    if near == 1:
        return "the only one"
    return f"1 of {near.denominator}" if near.numerator == 1 else words.share(step.share)


def ending(end: End) -> str:
    """Return where and how a packet's way ended."""
    match end.kind:
        case "delivered":
            return f"arrived at {words.line(end.node)}"
        case "unknown":
            return f"not known what became of it on {words.line(end.node)}: {words.line(end.why)}"
    return f"{end.kind} on {words.line(end.node)}: {words.line(end.why)}"


def outcome(journey: Journey) -> str:
    """Return what the asker got: `client-a got 200 from web-2 on node-2, which saw client-a 10.244.1.3:37924`."""
    reply = journey.reply
    took = words.seconds(reply.latency_s)
    if reply.error:
        return f"{journey.asker} got no answer: {_failure(reply.error)} after {took}"
    what = f"{reply.status}" if reply.status else "an answer"
    by = f" from {words.line(reply.pod)}" if reply.pod else ""
    node = f" on {words.line(reply.node)}" if reply.node else ""
    saw = f", which saw {words.place(*reply.source, journey.names)}" if by and reply.source else ""
    return f"{journey.asker} got {what}{by}{node}{saw}, after {took}"


def _failure(error: str) -> str:
    """Return an error that has no word of its own in the words of strerror(3), with its symbol."""
    number = getattr(errno, error.upper(), 0)
    return f"{os.strerror(number)} ({error.upper()})" if number else words.line(error)


def sentence(journey: Journey) -> str:
    """Return the whole story in one sentence."""
    by = " by UDP" if journey.protocol == "udp" else ""
    clauses = [*_request(journey), *_rest(journey)]
    return f"{journey.asker} asked {goal(journey).removeprefix('svc/')}{by}; {'; '.join(clauses)}."


def goal(journey: Journey) -> str:
    """Return what was asked for: `svc/web`, `web-1:8080`, `node-1:30080`, `10.96.0.10:80`."""
    said, address, port = journey.goal, journey.original.dst, journey.original.dport
    if said == str(address):
        return words.socket(address, port)
    return said if said.startswith("svc/") and journey.service else f"{said}:{port}"


def _leg(journey: Journey, role: str) -> Leg | None:
    return next((leg for leg in (*journey.legs, *journey.unwanted) if leg.role == role), None)


def _request(journey: Journey) -> Iterator[str]:
    """Yield what each machine did with the request, and what ended it, if anything did."""
    leg = _leg(journey, "request")
    if leg is None or not leg.times:
        yield words.line(leg.end.why) if leg else "nothing of the request was seen"
        return
    ended = leg.end.kind != "delivered"
    yield from _passed_by(leg, journey)
    killer = leg.end.node if leg.end.kind in _DEAD else ""
    silent = True
    found = list(folded(stays(leg.steps), 0))
    for stay in found:
        if stay.rounds:
            between = words.several([words.line(node) for node in stay.nodes], "and")
            yield f"{between} sent it to each other {words.count(stay.rounds, 'time')}"
            if stay is found[-1] and stay.steps[-1].node == killer:
                yield f"{killer} {_death(leg.end)}"
            silent = False
            continue
        (node,) = stay.nodes
        deeds = _deeds(list(stay.steps), leg, journey)
        if ended and node == killer and stay is found[-1]:
            deeds.append(_death(leg.end))
        if deeds:
            told = words.several(deeds, "and") if ended else ", ".join(deeds)
            yield f"{_subject(node, leg, deeds, journey)} {told}"
            silent = False
    if leg.end.kind == "unknown":
        yield f"it is not known what became of it on {leg.end.node}: {words.line(leg.end.why)}"
    elif ended and not (leg.steps and leg.steps[-1].node == killer):
        yield f"it was {ending(leg.end)}"
    elif silent:
        yield "no rule translated it"


def _passed_by(leg: Leg, journey: Journey) -> Iterator[str]:
    """Yield that a request for a Service came through a node untouched, if nobody refused or dropped it."""
    silent = leg.end.kind in ("lost", "unknown") and not any("dnat" in step.moments for step in leg.steps)
    if silent and journey.goal.startswith("svc/") and any(step.kind == "hook" for step in leg.steps):
        yield "no rule translated it"


def _subject(node: str, leg: Leg, deeds: list[str], journey: Journey) -> str:
    """Return what a machine is called in the sentence: the asker is `it`, unless all that it did was to end it."""
    if node != journey.asker:
        return node
    return f"{node} itself" if len(deeds) == 1 and leg.end.kind in _DEAD and leg.end.node == node else "it"


def _death(end: End) -> str:
    """Return what a machine did that ended the request."""
    inferred = "" if end.observed else "probably "
    return f"{inferred}{_DEAD[end.kind]}: {words.line(end.why)}"


def _deeds(steps: list[Step], leg: Leg, journey: Journey) -> list[str]:
    """Return what one machine did: `chose web-2 on node-2 (1 of 2)`, `rewrote the destination`."""
    done: list[str] = []
    moments = {moment for step in steps for moment in step.moments}
    for step in steps:
        if "choose" in step.moments:
            where = _node_of(step.endpoint, journey, leg)
            how = odds(step) or ("by affinity" if "affinity" in step.text else "")
            chosen = f"{step.endpoint or 'an endpoint'}{f' on {where}' if where else ''}"
            done.append(f"chose {chosen}{f' ({how})' if how else ''}")
        if "dnat" in step.moments:
            by = "" if step.kind == "rule" else " (by an entry of conntrack: no rule was seen to)"
            done.append(f"rewrote the destination{by}")
    if "masquerade" in moments:
        done.append("masqueraded")
    elif "snat" in moments:
        done.append("rewrote the source")
    elif "dnat" in moments and any(step.hook == "POSTROUTING" for step in steps):
        done.append("did not masquerade")
    if "port-changed" in moments:
        done.append(f"changed the source port ({PORT_TAKEN})")
    if "untracked" in moments and "untracked" not in leg.end.why:
        done.append("left it untracked")
    if "hairpin" in moments:
        done.append("sent it back to where it came from")
    return done


def _node_of(endpoint: str, journey: Journey, leg: Leg) -> str:
    """Return the node of the endpoint that was chosen: who answered tells it, else the last node on the way there."""
    if endpoint and endpoint == journey.reply.pod:
        return journey.reply.node
    if not leg.steps or leg.steps[-1].node != endpoint:
        return ""
    return next((step.node for step in reversed(leg.steps) if step.node in journey.nodes), "")


def _rest(journey: Journey) -> Iterator[str]:
    """Yield what became of the reply, and what the asker made of it."""
    request, reply, refusal, data = (_leg(journey, role) for role in ("request", "reply", "refusal", "data"))
    yield from _closed(request, reply or refusal)
    if reply is not None:
        yield _reply(reply, "the refusal" if journey.reply.error == "refused" else "the reply")
    elif refusal is not None and refusal.end.kind != "delivered":
        yield f"the refusal was {ending(refusal.end)}"
    elif journey.reply.answered:
        yield f"{journey.reply.pod or 'somebody'} answered"
    elif request is not None and request.end.kind == "delivered" and refusal is None:
        yield f"{request.end.node} sent nothing back that was seen"
    if data is not None:
        yield f"a later packet ({words.line(data.packet)}) was {ending(data.end)}"
    elif _connected(reply) and journey.reply.error == "timeout":
        yield "the connection was made, and no answer came by it"
    if journey.reply.error:
        told = _TOLD.get(journey.reply.error, f"was told: {_failure(journey.reply.error)}")
        yield f"{journey.asker} {told} after {words.seconds(journey.reply.latency_s)}"


def _closed(request: Leg | None, back: Leg | None) -> Iterator[str]:
    """Yield that the machine to which the request came refused it itself, if it did."""
    if request is None or request.end.kind != "delivered" or back is None or not (request.steps and back.steps):
        return
    refuses = "[R" in back.packet or "port unreachable" in back.packet
    if refuses and back.steps[0].node == request.end.node:
        yield f"{request.end.node} refused it: nobody listens on port {request.steps[-1].after.dport}"


def _connected(reply: Leg | None) -> bool:
    return reply is not None and reply.end.kind == "delivered" and "[S.]" in reply.packet


def _reply(leg: Leg, what: str) -> str:
    back = [step for step in leg.steps if "reply-translated" in step.moments]
    if leg.end.kind == "refused":  # by the asker itself: no rule refuses a reply
        return f"{leg.end.node} refused {what}: {words.line(leg.end.why)}"
    probably = "" if leg.end.observed else "probably "
    if not leg.times:
        return f"{probably}{words.line(leg.end.why)}"
    if leg.end.kind == "unknown":
        return f"{what} was of unknown fate on {leg.end.node}: {words.line(leg.end.why)}"
    if leg.end.kind != "delivered":
        return f"{what} was {probably}{leg.end.kind} on {leg.end.node}: {words.line(leg.end.why)}"
    return f"{what} was translated back by the same entry" if back else f"{what} came back as it was sent"
