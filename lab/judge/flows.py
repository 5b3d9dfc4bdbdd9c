"""The flows that belong to a request, and what they say about its translations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab import words
from lab.model.flow import Tuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lab.judge.said import Said
    from lab.model.address import IPAddress
    from lab.model.flow import Flow
    from lab.model.lab import FlowExpectation
    from lab.model.observation import Resolved
    from lab.model.request import Reply, Transport


def matching(
    flows: Iterable[Flow], reply: Reply, destination: IPAddress, port: int, protocol: Transport = "tcp"
) -> tuple[Flow, ...]:
    """Return the flows, of one node or of several, that belong to the request which got `reply`.

    The first one has the client's own socket and the request's destination as its original tuple. A node further on
    sees what the node before made of them: the inverse of the reply tuple there. So give the flows of all nodes.
    Nothing belongs to a request whose own socket (`reply.local`) is not known.
    """
    if reply.local is None:
        return ()
    address, local_port = reply.local
    seen = {Tuple(src=address, sport=local_port, dst=destination, dport=port)}
    by_original: dict[Tuple, list[Flow]] = {}
    for flow in flows:
        if flow.protocol == protocol:
            by_original.setdefault(flow.original, []).append(flow)
    found: list[Flow] = []
    waiting = list(seen)
    while waiting:
        for flow in by_original.get(waiting.pop(), ()):
            found.append(flow)
            onward = flow.reply.inverse
            if onward not in seen:
                seen.add(onward)
                waiting.append(onward)
    return tuple(found)


def said(wanted: FlowExpectation, flow: Flow | None, resolved: Resolved) -> Iterator[Said]:
    """Judge one node's flow: that it is there and answered (or not), and its two translations."""
    on = f"on {wanted.node}"
    observed = "none" if flow is None else f"{flow.state}, {words.direction(flow.original, resolved.names)}"
    if wanted.answered:
        yield f"flow {on}", "answered", observed, flow is not None and flow.answered
    else:
        yield f"flow {on}", "none, or unanswered", observed, flow is None or not flow.answered
    for word, expected in (("DNAT", wanted.dnat), ("SNAT", wanted.snat)):
        if expected is None:
            continue
        text = f"{word} to {expected}" if isinstance(expected, str) else word if expected else f"no {word}"
        if flow is None:  # what is not there is not translated, where nothing need be there
            yield f"{word} {on}", text, "no flow", expected is False and not wanted.answered
        else:
            yield f"{word} {on}", text, *_translation(word, expected, flow, resolved)


def _translation(word: str, expected: bool | str, flow: Flow, resolved: Resolved) -> tuple[str, bool]:  # noqa: FBT001 - as the author wrote it
    """Return what the flow's tuples say about DNAT or SNAT, and whether that is the `expected`."""
    before, after = flow.original, flow.reply.inverse
    if word == "DNAT":
        done, address = flow.dnat, after.dst
        change = (before.dst, before.dport), (after.dst, after.dport)
    else:
        done, address = flow.snat, after.src
        change = (before.src, before.sport), (after.src, after.sport)
    old, new = (words.place(*end, resolved.names) for end in change)
    observed = f"{old} -> {new}" if done else f"no {word}: {old}"
    if isinstance(expected, str):
        return observed, done and address in resolved.addresses[expected]
    return observed, done == expected
