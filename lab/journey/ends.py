"""What became of a packet, where, and why: what the kernel said, or what the evidence lets one conclude."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from lab import words
from lab.journey import causes
from lab.journey.sight import Pass, is_own, last_tuple
from lab.model.journey import End, Step
from lab.model.trace import UNHEARD, Tap

if TYPE_CHECKING:
    from lab.journey.story import Story
    from lab.model.flow import Tuple

_FATAL = {"drop", "reject"}


def end_of(story: Story, *, answered: bool = False) -> End:
    """Return what became of the packet of a story; `answered`: whether what it was sent for came of it."""
    fatal = _fatal(story)
    if fatal is not None:
        why = _said(fatal, fatal.whose(story.evidence.tool))
        return End(kind="refused" if fatal.verdict == "reject" else "dropped", node=fatal.node, why=why)
    if not story.track.sights:
        return End(kind="unknown", node="", why="it was seen nowhere", observed=False)
    end = _arrival(story, answered=answered) if arrived(story) else _lost(story, answered=answered)
    why = "; ".join(filter(None, (_untracked(story, end), end.why)))
    return replace(end, why=why)


def _untracked(story: Story, end: End) -> str:
    """Return which rule had a packet go untranslated that should not, "" if none did: conntrack left it alone."""
    asked = story.evidence.request
    for_service = bool(story.evidence.service) and story.packet.dst == asked.address
    home = story.track.role == "reply" and end.kind == "refused"
    if end.kind == "delivered" or not (home or (story.track.role == "request" and for_service)):
        return ""
    step = next((step for step in story.steps if "untracked" in step.moments), None)
    if step is None:
        return ""
    return f"{step.node} left it untracked ({_rule(step, step.whose(story.evidence.tool))}), so no nat rule was asked"


def _lost(story: Story, *, answered: bool) -> End:
    """Return what is to be said of a packet that was not seen any more, and that nothing is known to have dropped."""
    last = story.track.sights[-1]
    node = story.places.name(last.netns)
    gone = causes.not_seen(story.evidence, last.netns)
    cause = _queued(story) or next(causes.of(story), "")
    beyond = isinstance(last, Tap) and last.direction == "out" and not _watched_beyond(story, last)
    if answered:
        owner = story.places.owner(story.packet.dst, last.netns)
        name = story.evidence.names.get(story.packet.dst) or (story.places.name(owner) if owner else node)
        return End(kind="delivered", node=name, why=f"nobody saw it come to {name}, which answered it", observed=False)
    if gone:
        why = f"last seen {_where(story)}; {gone}, so what followed is not known"
    elif cause:
        return End(kind="lost", node=node, why=cause, observed=False)
    elif beyond:
        why = f"last seen {_where(story)}; nobody looked where it went from there"
    elif last.netns in story.evidence.unheard:
        why = f"{_seen_last(story)}; {UNHEARD} there"
    else:
        return End(kind="lost", node=node, why=f"{_seen_last(story)}; no rule was seen to drop it", observed=False)
    return End(kind="unknown", node=node, why=why, observed=False)


def _queued(story: Story) -> str:
    """Return which rule gave a packet to a program that did not give it back, "" if the last one did not."""
    step = story.steps[-1]
    if step.verdict != "queue":
        return ""
    return f"{_rule(step, step.whose(story.evidence.tool))} handed it to a program, which did not give it back"


def _fatal(story: Story) -> Step | None:
    """Return the step that ended the packet's way: nothing was seen of it behind."""
    for step in reversed(story.steps):
        if step.kind == "tap":
            return None
        if step.verdict in _FATAL:
            return step
    return None


def _said(step: Step, whose: str) -> str:
    if step.kind == "verdict":
        return f"the policy of {whose}{step.table} {step.chain} is drop"
    what = "refuses" if step.verdict == "reject" else "drops"
    told = (step.rule.comment if step.rule else "") or step.service
    comment = f" ({told})" if told else ""
    return f"{_rule(step, whose)} {what} it{comment}"


def _rule(step: Step, whose: str) -> str:
    name = f"rule {step.number}" if step.number else f"a rule (handle {step.handle})"
    return f"{name} of {whose}{step.table} {step.chain}"


def arrived(story: Story) -> bool:
    """Return whether the packet came to the machine that it was for, and into it."""
    last = story.track.sights[-1]
    if story.places.owner(story.packet.dst, last.netns) != last.netns:
        return False
    if isinstance(last, Tap):
        shown = _has_events(story, last.netns) or causes.before_hooks(story)
        return last.direction == "in" and not (shown and last.netns in story.places.nodes)
    return last.hook == "INPUT" or (last.hook == "PREROUTING" and not _shows_input(story, last))


def _shows_input(story: Story, last: Pass) -> bool:
    """Return whether a packet that came to INPUT would have been seen there."""
    return any(map(is_own, last.events)) or story.book.has_hook(last.netns, "INPUT")


def _has_events(story: Story, netns: str) -> bool:
    return any(isinstance(one, Pass) and one.netns == netns for one in story.track.sights)


def _arrival(story: Story, *, answered: bool) -> End:
    last = story.track.sights[-1]
    node = story.places.name(last.netns)
    asked, way = story.evidence.request, story.packet
    home = story.track.role == "reply" and last.netns == asked.netns
    itself = asked.address.is_unspecified and way.src.is_loopback  # 0.0.0.0 is whoever asks (ip_route_output_key_hash)
    if home and (way.sport != asked.port or not (itself or way.src == asked.address)):
        return _untranslated(story, node, way)
    if not answered and (why := next(causes.inside(story), "")):
        return End(kind="lost", node=node, why=why, observed=False)
    where = f"{last.interface} of {node}" if isinstance(last, Tap) else node
    return End(kind="delivered", node=node, why=f"came to {where}")


def _untranslated(story: Story, node: str, way: Tuple) -> End:
    """Return the end of a reply that came home from another address than the one that was asked."""
    asked = story.evidence.request
    why = (
        f"it came back untranslated: {node} asked {words.socket(asked.address, asked.port)}, and knows nothing of "
        f"{words.socket(way.src, way.sport)}"
    )
    off = causes.bridge_off(story)
    return End(kind="refused", node=node, why=f"{why}; {off}" if off else why, observed=False)


def _where(story: Story) -> str:
    last = story.track.sights[-1]
    node = story.places.name(last.netns)
    if isinstance(last, Pass):
        return f"in {last.hook} of {node}"
    return f"{'coming in' if last.direction == 'in' else 'going out'} by {last.interface} of {node}"


def _seen_last(story: Story) -> str:
    last = story.track.sights[-1]
    if isinstance(last, Pass) or last.direction == "in":
        return f"last seen {_where(story)}"
    if story.places.is_bridge(last.netns, last.interface):
        return f"it left by the bridge {last.interface} itself, and by none of its ports"
    link = story.places.links.get((last.netns, last.interface))
    if link is not None and link.kind == "vxlan":
        return f"it went into the tunnel {last.interface}, and did not leave {story.places.name(last.netns)} in it"
    return f"it left by {last.interface}, and nobody who was looked at got it"


def _watched_beyond(story: Story, last: Tap) -> bool:
    """Return whether the machine that has the packet's destination was looked at."""
    way = last_tuple(last)
    owner = story.places.owner(way.dst, last.netns) if way else ""
    return bool(owner) and (owner in story.evidence.places or owner in story.places.nodes)
