"""Where a packet was routed: what to ask a namespace's routing afterwards, and what it answered.

The kernel tells no trace of a routing decision. What it decided shows in the interface that FORWARD has; by which
gateway, routing says when it is asked again, and that is told as inferred.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.journey.sight import LOOPBACK, Pass, carried, ttl_of
from lab.model.journey import Step
from lab.model.trace import WAYS, Route, RouteQuestion, Tap

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lab.journey.sight import Places, Sight
    from lab.model.flow import Tuple


_KINDS: Mapping[str, str] = {"EHOSTUNREACH": "unreachable", "EACCES": "prohibit"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """A routing decision, as routing can be asked for it again; `oif`: the interface that it was seen to lead to."""

    question: RouteQuestion
    oif: str = ""


def of_sender(sights: Sequence[Sight], asker: str, packet: Tuple) -> Decision:
    """Return the decision of the machine that made a packet."""
    question = RouteQuestion(netns=asker, destination=packet.dst, source=packet.src)
    return Decision(question=question, oif=_oif(sights, asker))


def behind(sights: Sequence[Sight], at: int, places: Places, packet: Tuple, mark: int | None) -> Decision | None:
    """Return the decision of a machine behind the sight number `at`, where the packet looks like `packet`; else None.

    A machine routes what came in and went through PREROUTING, unless it is a frame that a bridge merely forwards.
    """
    sight = sights[at]
    if not is_arriving(sight) or not places.forwards(sight.netns) or _is_carrier(sight):
        return None
    later = sights[at + 1 :]
    if later and later[0].netns == sight.netns and is_arriving(later[0]):
        return None  # a bridge behind its port, PREROUTING behind a tap, what a tunnel carried
    if bridged(sights, at, places) is not None or _is_looped(sight):
        return None
    question = RouteQuestion(
        netns=sight.netns, destination=packet.dst, source=packet.src, iif=_iif(sight, places), mark=mark or 0
    )
    return Decision(question=question, oif=_oif(later, sight.netns))


def of_translated(sights: Sequence[Sight], at: int, packet: Tuple, mark: int | None) -> Decision:
    """Return the decision that is made anew behind OUTPUT, where the packet's destination or mark was changed."""
    sight = sights[at]
    source = None if packet.src.is_loopback else packet.src
    question = RouteQuestion(netns=sight.netns, destination=packet.dst, source=source, mark=mark or 0)
    return Decision(question=question, oif=_oif(sights[at + 1 :], sight.netns))


def _is_looped(sight: Sight) -> bool:
    """Return whether a packet came by the loopback interface: it was routed before that."""
    return (sight.iif if isinstance(sight, Pass) else sight.interface) == LOOPBACK


def _is_carrier(sight: Sight) -> bool:
    return isinstance(sight, Tap) and carried(sight.packet) is not sight.packet


def is_arriving(sight: Sight) -> bool:
    """Return whether a sight is of a packet that came in and is not routed yet."""
    return sight.direction == "in" if isinstance(sight, Tap) else sight.hook == "PREROUTING"


def bridged(sights: Sequence[Sight], at: int, places: Places) -> tuple[Tap, Tap] | None:
    """Return the ports by which a frame was forwarded by a bridge, if the sight `at` is between these two, or None.

    It may have left by the bridge's own interface in between, to find its receiver's MAC; it is routed if it came in by
    that.
    """
    netns = sights[at].netns
    came = next((one for one in reversed(sights[: at + 1]) if isinstance(one, Tap)), None)
    bridge = places.master(netns, came.interface) if came is not None and came.netns == netns else ""
    if came is None or came.direction != "in" or not bridge:
        return None
    for one in sights[at + 1 :]:
        if not isinstance(one, Tap) or (one.direction == "out" and one.interface == bridge and _as_far(one, came)):
            continue
        out = one.netns == netns and one.direction == "out" and places.master(netns, one.interface) == bridge
        return (came, one) if out and _as_far(one, came) else None
    return None


def _as_far(one: Tap, other: Tap) -> bool:
    return ttl_of(one) == ttl_of(other)


def _iif(sight: Sight, places: Places) -> str:
    if isinstance(sight, Pass):
        return sight.iif
    return places.master(sight.netns, sight.interface) or sight.interface


def _oif(later: Sequence[Sight], netns: str) -> str:
    """Return the interface that a packet was seen to be routed to."""
    for one in later:
        if one.netns != netns:
            break
        if isinstance(one, Pass) and one.oif:
            return one.oif
        if isinstance(one, Tap) and one.direction == "out":
            return one.interface
    return ""


def step(
    decision: Decision, answers: Mapping[RouteQuestion, Route], node: str, way: Tuple, mark: int | None
) -> Step | None:
    """Return the step of a decision, as far as it is known: what routing answered, or the interface that was seen."""
    question = decision.question
    answer = answers.get(question)
    agrees = answer is not None and (not decision.oif or answer.oif in ("", decision.oif))
    if answer is not None and agrees:
        text, oif, observed = _text(answer), decision.oif or answer.oif, False
    elif decision.oif and decision.oif != LOOPBACK:
        text, oif, observed = f"{question.destination} dev {decision.oif}", decision.oif, True
    else:
        return None
    return Step(
        node=node,
        kind="route",
        before=way,
        after=way,
        interface=question.iif,
        out_interface=oif,
        mark_before=mark,
        mark_after=mark,
        text=text,
        matters=answer is None or answer.leads or not agrees,  # why there is no way is said at the end
        observed=observed,
    )


def _text(route: Route) -> str:
    """Return a route as ip-route(8) prints it, or why there is none."""
    question = route.question
    if why := refusal(route):
        return f"{question.destination}: {route.refusing}" if route.refusing else why
    kind = "local " if route.kind == "local" else ""
    via = f" via {route.gateway}" if route.gateway is not None else ""
    return f"{kind}{question.destination}{via} dev {route.oif}"


def refusal(route: Route) -> str:
    """Return what stands in the way of routing a packet, as it is said of a machine; "" if nothing does.

    What a route that leads nowhere answers, the kernel answers to a source too that it takes none from, or where it
    does not forward; `plain` tells them apart (fib_props of fib_semantics.c, ip_route_input_slow and
    inet_rtm_getroute of route.c, net/ipv4).
    """
    question = route.question
    to = question.destination
    why = f"has no way to {to} ({route.kind})"
    if route.leads:
        why = ""
    elif route.refusing:
        why = f"has the route '{route.refusing}' for {to}"
    elif route.plain in WAYS and question.iif:
        kind = _KINDS.get(route.kind, "")
        why = f"takes no packet from {question.source} to {to} by {question.iif}{kind and f' ({kind})'}"
    elif route.plain in WAYS:
        why = f"has no way to {to} from {question.source}"
    elif "ENETUNREACH" in (route.kind, route.plain):
        why = f"has no route for {to}"
    return why
