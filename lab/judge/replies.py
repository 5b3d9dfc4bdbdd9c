"""What replies say: who answered, whom the server saw, which errors came, and in which shares."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from lab import shares, words

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lab.judge.said import Said
    from lab.model.lab import Answer, Outcome
    from lab.model.observation import Observation, Resolved
    from lab.model.request import Reply

_FEW = 8  # so many shares can be read at a glance


def named(outcome: Outcome) -> tuple[str, ...]:
    """Return the pods that are named as those who may answer, as a tuple however it was written."""
    by = outcome.answer.by if outcome.answer else ()
    return (by,) if isinstance(by, str) else by


def endpoints(outcome: Outcome, resolved: Resolved) -> tuple[str, ...]:
    """Return the pods that may answer: those that are named, else all behind the expectation's `to`."""
    return named(outcome) or resolved.endpoints


def luck(outcome: Outcome, resolved: Resolved) -> float:
    """Return the chance that a fair choice among all pods behind `to` leads to what is expected; 0 if it cannot."""
    behind, by = set(resolved.endpoints), set(named(outcome))
    found = [len(behind & by) / len(behind)] if behind - by else []
    if outcome.answer and outcome.answer.again and len(endpoints(outcome, resolved)) > 1:
        found.append(1 / len(endpoints(outcome, resolved)))
    return max(found, default=0.0)


def said(outcome: Outcome, observation: Observation, resolved: Resolved) -> Iterator[Said]:
    """Judge all that is expected of the replies; if nothing is expected of anything, a reply is."""
    answer, replies = outcome.answer, observation.replies
    if outcome.shares == "some":
        yield _some(outcome, replies, resolved)
        wanted = endpoints(outcome, resolved)
        replies = tuple(reply for reply in replies if reply.pod in wanted) or replies
    if outcome.error:
        holds = all(reply.error and outcome.error in {"any", reply.error} for reply in replies)
        yield "error", "no answer" if outcome.error == "any" else outcome.error, _outcome(replies, resolved), holds
    elif outcome.shares != "some" and (answer or not (outcome.flow or outcome.traced or outcome.shares)):
        yield _answer(outcome, replies, resolved)
    if answer and answer.source:
        yield _source(answer.source, replies, resolved)
    if answer and answer.status is not None:
        seen = [str(reply.status) if reply.status else _one(reply, resolved) for reply in replies]
        yield "status", str(answer.status), _tally(seen), all(reply.status == answer.status for reply in replies)
    if answer and answer.again is not None:
        yield _again(answer, observation)
    if outcome.shares == "equal":
        yield _equal(outcome, replies, resolved)
    elif outcome.shares == "one":
        yield _one_each(observation, resolved)


def _answer(outcome: Outcome, replies: Sequence[Reply], resolved: Resolved) -> Said:
    by = named(outcome)
    holds = all(reply.answered and (not by or reply.pod in by) for reply in replies)
    expected = f"answered by {words.several(by, 'or')}" if by else "answered"
    return "answer", expected, _outcome(replies, resolved), holds


def _source(name: str, replies: Sequence[Reply], resolved: Resolved) -> Said:
    """Compare the client's address as the servers saw it; a UDP or TCP port is the client's own affair."""
    wanted = resolved.addresses[name]
    sources = [reply.source[0] if reply.source else None for reply in replies]
    observed = [words.place(source, 0, resolved.names) if source else "no answer" for source in sources]
    expected = f"{name} {words.several(sorted(map(str, wanted)), 'or')}"
    return "source", expected, _tally(observed), all(source in wanted for source in sources)


def _again(answer: Answer, observation: Observation) -> Said:
    """Compare who answers each asker with who answered it just before.

    Where a fair choice is made anew, that it gives all of n askers the same of k pods again has a chance of 1 / k^n.
    """
    now: dict[str, set[str]] = {}
    for asker, reply in zip(observation.askers, observation.replies, strict=True):
        now.setdefault(asker, set()).add(reply.pod)
    kept = sum(pods == {observation.before.get(asker)} - {""} for asker, pods in now.items())
    observed = f"{kept} of {len(now)} by the same pod as before"
    if answer.again:
        return "again", "each by the same pod as before", observed, kept == len(now)
    answered = all(reply.pod for reply in observation.replies)
    return "again", "not all by the same pod as before", observed, kept < len(now) and answered


def answered_by(observation: Observation) -> dict[str, str]:
    """Return who answered each asker's last request ("" if nobody did): what `again` of the next step means."""
    return {asker: reply.pod for asker, reply in zip(observation.askers, observation.replies, strict=True)}


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


def _equal(outcome: Outcome, replies: Sequence[Reply], resolved: Resolved) -> Said:
    wanted = endpoints(outcome, resolved)
    low, high = shares.bounds(len(wanted), len(replies)) if wanted else (0, 0)
    counts = Counter(dict.fromkeys(wanted, 0))
    counts.update(reply.pod if reply.pod in wanted else _one(reply, resolved) for reply in replies)
    by = Counter(reply.pod for reply in replies)  # not `counts`: a pod may be called as an error is
    holds = bool(wanted) and all(low <= by[pod] <= high for pod in wanted) and set(by) <= set(wanted)
    shown = counts.items() if len(counts) <= _FEW else _extremes(counts)
    return (
        "shares",
        f"equal: {low} to {high} of {len(replies)} each" if wanted else "equal, but no endpoint is known",
        words.several([f"{what} {number}" for what, number in shown], "and"),
        holds,
    )


def _some(outcome: Outcome, replies: Sequence[Reply], resolved: Resolved) -> Said:
    wanted = endpoints(outcome, resolved)
    counts = Counter(dict.fromkeys(wanted, 0))
    counts.update(_one(reply, resolved).removeprefix("answered by ") for reply in replies)
    shown = counts.items() if len(counts) <= _FEW else _extremes(counts)
    expected = f"some of {len(replies)} by {words.several(wanted, 'and') or 'an endpoint, but none is known'}"
    observed = words.several([f"{what} {number}" for what, number in shown], "and")
    return "shares", expected, observed, bool(wanted) and set(wanted) <= {reply.pod for reply in replies}


def _extremes(counts: Counter[str]) -> list[tuple[str, int]]:
    """Return the three most and the three least chosen: with many endpoints those say what is wrong."""
    ordered = counts.most_common()
    return [*ordered[:3], *ordered[-3:]]


def _one_each(observation: Observation, resolved: Resolved) -> Said:
    """Compare all replies that an asker got with each other: one pod must have given them."""
    by: dict[str, Counter[str]] = {}
    for asker, reply in zip(observation.askers, observation.replies, strict=True):
        by.setdefault(asker, Counter())[reply.pod or _one(reply, resolved)] += 1
    holds = all(reply.pod for reply in observation.replies) and all(len(counts) == 1 for counts in by.values())
    worst = max(by.values(), key=len)
    observed = words.several([f"{what} {number}" for what, number in worst.most_common(_FEW)], "and")
    number = len(observation.replies) // len(by)
    return "shares", f"all {number} by one pod", observed, holds
