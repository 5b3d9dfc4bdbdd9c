"""Expected beside observed: an expectation and what came of its requests make findings."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from lab import shares, words
from lab.model.finding import Finding
from lab.model.flow import Tuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from lab.model.address import IPAddress
    from lab.model.cluster import Cluster
    from lab.model.flow import Flow
    from lab.model.lab import Expectation, FlowExpectation
    from lab.model.observation import Observation, Resolved
    from lab.model.request import Reply, Transport

_FEW = 8  # so many shares can be read at a glance


def applies(expectation: Expectation, cluster: Cluster) -> bool:
    """Return whether the expectation is meant for a lab such as `cluster` (its `when`).

    `when.iptables` names who installs the rules of iptables mode, so it means that mode too.
    """
    when = expectation.when
    return (
        when.mode in {None, cluster.mode}
        and when.hairpin_mode in {None, cluster.spec.network.hairpin_mode}
        and (when.iptables is None or (cluster.mode == "iptables" and when.iptables == cluster.spec.iptables))
    )


def flow_expectations(expectation: Expectation) -> tuple[FlowExpectation, ...]:
    """Return what is expected of nodes' conntrack, as a tuple however it was written."""
    return expectation.flow if isinstance(expectation.flow, tuple) else (expectation.flow,)


def endpoints(expectation: Expectation, resolved: Resolved) -> tuple[str, ...]:
    """Return the pods that may answer: those that the expectation names, else all behind its `to`."""
    return _named(expectation) or resolved.endpoints


def _named(expectation: Expectation) -> tuple[str, ...]:
    """Return the pods that the expectation names, as a tuple however it was written."""
    by = expectation.answer.by if expectation.answer else ()
    return (by,) if isinstance(by, str) else by


def names(expectation: Expectation) -> tuple[str, ...]:
    """Return the names whose addresses `Resolved.addresses` must have to judge the expectation."""
    source = expectation.answer.source if expectation.answer else ""
    flows = flow_expectations(expectation)
    found = [source, *(flow.dnat for flow in flows), *(flow.snat for flow in flows)]
    return tuple(dict.fromkeys(name for name in found if isinstance(name, str) and name))


def requests_needed(expectation: Expectation, resolved: Resolved) -> int:
    """Return how many requests it takes to judge the expectation: one, or more for `shares`."""
    return shares.requests_needed(len(endpoints(expectation, resolved))) if expectation.shares else 1


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


def judge(expectation: Expectation, observation: Observation, resolved: Resolved) -> tuple[Finding, ...]:
    """Return a finding for each thing that the expectation says, in the order in which it says them.

    An expectation that says nothing of the reply, nor of flows, expects one. `observation` has at least one reply;
    `resolved.addresses` has every name of `names(expectation)`.
    """
    said: list[tuple[str, str, str, bool]] = []
    answer = expectation.answer
    if expectation.error:
        holds = all(reply.error == expectation.error for reply in observation.replies)
        said.append(("error", expectation.error, _outcome(observation.replies, resolved), holds))
    elif answer or not (expectation.flow or expectation.shares):
        said.append(_answer(expectation, observation.replies, resolved))
    if answer and answer.source:
        said.append(_source(answer.source, observation.replies, resolved))
    for wanted in flow_expectations(expectation):
        flow = next((flow for flow in observation.flows if flow.node == wanted.node), None)
        said.extend(_flow(wanted, flow, resolved))
    if expectation.shares:
        said.append(_shares(expectation, observation.replies, resolved))
    return tuple(
        Finding(it=expectation.it, what=what, expected=expected, observed=observed, holds=holds)
        for what, expected, observed, holds in said
    )


def _answer(expectation: Expectation, replies: Sequence[Reply], resolved: Resolved) -> tuple[str, str, str, bool]:
    by = _named(expectation)
    holds = all(reply.answered and (not by or reply.pod in by) for reply in replies)
    expected = f"answered by {words.several(by, 'or')}" if by else "answered"
    return "answer", expected, _outcome(replies, resolved), holds


def _source(name: str, replies: Sequence[Reply], resolved: Resolved) -> tuple[str, str, str, bool]:
    """Compare the client's address as the servers saw it; a UDP or TCP port is the client's own affair."""
    wanted = resolved.addresses[name]
    sources = [reply.source[0] if reply.source else None for reply in replies]
    observed = [words.place(source, 0, resolved.names) if source else "no answer" for source in sources]
    expected = f"{name} {words.several(sorted(map(str, wanted)), 'or')}"
    return "source", expected, _tally(observed), all(source in wanted for source in sources)


def _outcome(replies: Sequence[Reply], resolved: Resolved) -> str:
    """Say what came of one request with its duration, of several with the number of each outcome."""
    if len(replies) == 1:
        (reply,) = replies
        link = "in" if reply.answered else "after"
        return f"{_one(reply, resolved)} {link} {words.seconds(reply.latency_s)}"
    return _tally([_one(reply, resolved) for reply in replies])


def _one(reply: Reply, resolved: Resolved) -> str:
    if reply.error:
        return reply.error
    if reply.pod:
        return f"answered by {reply.pod}"
    return f"answered by {words.place(*reply.source, resolved.names)}" if reply.source else "answered"


def _tally(observed: Sequence[str]) -> str:
    """Return the one thing observed, or each with its number, the most frequent one first."""
    counts = Counter(observed).most_common()
    return counts[0][0] if len(counts) == 1 else ", ".join(f"{number} x {what}" for what, number in counts)


def _flow(wanted: FlowExpectation, flow: Flow | None, resolved: Resolved) -> Iterator[tuple[str, str, str, bool]]:
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


def _translation(word: str, expected: bool | str, flow: Flow, resolved: Resolved) -> tuple[str, bool]:  # noqa: FBT001
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


def _shares(expectation: Expectation, replies: Sequence[Reply], resolved: Resolved) -> tuple[str, str, str, bool]:
    wanted = endpoints(expectation, resolved)
    low, high = shares.bounds(len(wanted), len(replies)) if wanted else (0, 0)
    counts = Counter(dict.fromkeys(wanted, 0))
    counts.update(reply.pod if reply.pod in wanted else _one(reply, resolved) for reply in replies)
    holds = bool(wanted) and all(low <= counts[pod] <= high for pod in wanted) and len(counts) == len(wanted)
    shown = counts.items() if len(counts) <= _FEW else _extremes(counts)
    return (
        "shares",
        f"equal: {low} to {high} of {len(replies)} each" if wanted else "equal, but no endpoint is known",
        words.several([f"{what} {number}" for what, number in shown], "and"),
        holds,
    )


def _extremes(counts: Counter[str]) -> list[tuple[str, int]]:
    """Return the three most and the three least chosen: with many endpoints those say what is wrong."""
    ordered = counts.most_common()
    return [*ordered[:3], *ordered[-3:]]
