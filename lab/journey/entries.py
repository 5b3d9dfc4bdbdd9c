"""The entry of conntrack that a packet makes, or belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.journey import causes
from lab.journey.sight import Pass
from lab.model.journey import Step

if TYPE_CHECKING:
    from lab.journey.story import Story
    from lab.model.flow import Flow, Tuple
    from lab.model.netfilter import Chain


def told(story: Story, one: Pass, flow: Flow | None) -> Step | None:
    """Return the step of the entry that a connection's first packet leaves behind; None if it is not the place for it.

    That is where the packet leaves the machine, or comes to it.
    Source: nf_conntrack_confirm is called behind all others in POSTROUTING and INPUT (nf_conntrack_proto.c).
    """
    died = any(step.verdict in ("drop", "reject") for step in story.steps if step.hook == one.hook)
    if story.track.role != "request" or one.hook not in ("POSTROUTING", "INPUT") or flow is None or died:
        return None
    if story.evidence.request.protocol != flow.protocol:
        return None
    known = any(event.ct_id and event.ct_id == flow.id for event in one.events)
    ends = [end for end, so in (("the destination", flow.dnat), ("the source", flow.snat)) if so]
    which, sure = _which_entry(story, one.netns)
    text = f"{which}: translates {' and '.join(ends) or 'nothing'}"
    return Step(
        node=story.places.name(one.netns),
        kind="conntrack",
        before=story.packet,
        after=story.packet,
        hook=one.hook,
        mark_before=story.mark,
        mark_after=story.mark,
        text=text if known else f"{text}, as the table has it afterwards",
        matters=bool(ends),
        observed=known and sure,
    )


def _which_entry(story: Story, netns: str) -> tuple[str, bool]:
    """Return which entry of a machine a packet belongs to, in words, and whether that was observed.

    Only the packet that makes an entry meets chains of the type nat; one that was translated and met none had an entry.
    """
    if met_nat(story, netns):
        return "new entry", True
    here = [step for step in story.steps if step.node == story.places.name(netns) and step.kind == "conntrack"]
    if any(step.moments for step in here) and not causes.not_seen(story.evidence, netns):
        return "an entry that was there before, so that no rule was asked", False
    return "entry", True


def met_nat(story: Story, netns: str) -> bool:
    """Return whether a packet met chains of the type nat on a machine: only one that makes an entry does."""
    passes = (one for one in story.track.sights if isinstance(one, Pass) and one.netns == netns)
    events = (event for one in passes for event in one.events)
    return any(event.table == "nat" or _is_nat(story.book.find(event).chain) for event in events)


def _is_nat(chain: Chain | None) -> bool:
    return chain is not None and chain.nat


def flow_of(story: Story, netns: str, packet: Tuple) -> Flow | None:
    """Return the entry of a node that a packet belongs to which came there as `packet`, in either direction."""
    for flow in story.evidence.flows:
        if flow.node == netns and packet in (flow.original, flow.reply):
            return flow
    return None
