"""What conntrack does to a packet by an entry that is there already: no rule is asked, and no event tells of it.

Only a connection's first packet passes the nat rules. The others are changed in the same hooks: the destination in
PREROUTING and OUTPUT, the source in POSTROUTING and INPUT (nf_nat_core.c, HOOK2MANIP).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from lab import words
from lab.model.journey import Step

if TYPE_CHECKING:
    from lab.model.flow import Flow, Tuple
    from lab.model.netfilter import Hook

DESTINATION: frozenset[Hook] = frozenset({"PREROUTING", "OUTPUT"})


def renewed(packet: Tuple, behind: Tuple, hook: Hook) -> Tuple:
    """Return how a packet looks behind a hook, if `behind` is how it looked when it was seen next."""
    if hook in DESTINATION:
        return replace(packet, dst=behind.dst, dport=behind.dport)
    if hook in ("POSTROUTING", "INPUT"):
        return replace(packet, src=behind.src, sport=behind.sport)
    return packet


def translated(node: str, before: Tuple, after: Tuple, flow: Flow | None, mark: int | None) -> Step:
    """Return the step of a change that no rule was seen to make."""
    ends = []
    if (before.dst, before.dport) != (after.dst, after.dport):
        ends.append(
            f"destination {words.socket(before.dst, before.dport)} became {words.socket(after.dst, after.dport)}"
        )
    if (before.src, before.sport) != (after.src, after.sport):
        ends.append(f"source {words.socket(before.src, before.sport)} became {words.socket(after.src, after.sport)}")
    return Step(
        node=node,
        kind="conntrack",
        before=before,
        after=after,
        mark_before=mark,
        mark_after=mark,
        text=f"by {which(flow)}: {', '.join(ends)}, and no rule was asked",
        moments=("reply-translated",),
        observed=False,
    )


def which(flow: Flow | None) -> str:
    """Return which entry is meant, in words."""
    if flow is None:
        return "an entry of conntrack"
    return f"the entry {flow_text(flow)}"


def flow_text(flow: Flow) -> str:
    """Return an entry's two directions: `A -> B, answered C -> D`."""
    return f"{words.direction(flow.original, {})}, answered {words.direction(flow.reply, {})}"
