"""What nodes' rules did to a request: the mark that they gave it, and which of them counted it."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from lab import words

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lab.judge.said import Said
    from lab.model.lab import MarkExpectation, RulesExpectation
    from lab.model.netfilter import Table
    from lab.model.observation import Observation

_TARGET = re.compile(r"(?:^| )-[jg] (\S+)")
_HASHED = re.compile(r"(KUBE-(?:SVC|SVL|SEP|EXT|FW|XLB))-[A-Z2-7]{16}")


def marked(wanted: MarkExpectation, observation: Observation) -> Said:
    """Judge the mark that the first packet had on a node; the node knows the packet by its source as it came there."""
    reply = observation.replies[0]
    packets = {(flow.original.src, flow.original.sport) for flow in observation.flows if flow.node == wanted.node}
    if reply.local:
        packets.add(reply.local)
    there = [one for one in observation.marks if (one.node, one.at) == (wanted.node, wanted.at)]
    seen = sorted({one.mark for one in there if one.source in packets})
    observed = words.several([f"{mark:#x}" for mark in seen], "and") or "the packet was not seen there"
    return f"mark at {wanted.at} on {wanted.node}", f"{wanted.is_:#x}", observed, seen == [wanted.is_]


def hit(wanted: RulesExpectation, observation: Observation) -> Said:
    """Judge which rules counted packets of the request: exactly those that are expected."""
    counted = observation.hits.get(wanted.node, ())
    holds = all(any(_means(text, one) for text in wanted.hit) for one in counted) and all(
        any(_means(text, one) for one in counted) for text in wanted.hit
    )
    return f"rules on {wanted.node}", _listed(wanted.hit), _listed([short(one) for one in counted]), holds


def _listed(texts: Sequence[str]) -> str:
    return ", ".join(texts) or "none"


def _means(text: str, counted: str) -> bool:
    """Return whether an expected `CHAIN > TARGET` is that one; each of its two names may lack its hash."""
    return all(name in {full, short(full)} for name, full in zip(text.split(" > "), counted.split(" > "), strict=True))


def short(text: str) -> str:
    """Return a text with `KUBE-SVC` for `KUBE-SVC-LOLE4ISW44XBNF3G`, and so for all whose names end in a hash."""
    return _HASHED.sub(r"\1", text)


def counts(tables: Iterable[Table]) -> Counter[str]:
    """Return the packets that the rules of kube-proxy's chains have counted.

    Keys are `CHAIN > TARGET`, of all rules together that have both.
    """
    found: Counter[str] = Counter()
    for table in tables:
        for chain in table.chains.values():
            for rule in chain.rules if chain.name.startswith("KUBE-") else ():
                targets = _TARGET.findall(rule.text)  # the last one: a comment may have another
                found[f"{chain.name} > {targets[-1] if targets else 'none'}"] += rule.packets or 0
    return found


def risen(before: Counter[str], after: Counter[str]) -> tuple[str, ...]:
    """Return the rules whose `counts` rose between two readings."""
    return tuple(after - before)  # what is positive, in the order of `after`
