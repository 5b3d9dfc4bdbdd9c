"""What came of `lab.curl`: one reply in full, of many the share of each endpoint."""

from __future__ import annotations

from collections import Counter
from statistics import median
from typing import TYPE_CHECKING, Any

from lab import shares, words
from lab.report.table import PLAIN, Look, paint, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.model.request import Reply
    from lab.words import Names

FEW = 10


def text(replies: Sequence[Reply], endpoints: Sequence[str], names: Names, look: Look = PLAIN) -> str:
    """Return a row for each of up to ten replies, and for two or more the share of each endpoint.

    `endpoints` are the pods that may answer, as `Reply.pod` names them: one that never did is shown with 0.
    """
    parts = []
    if len(replies) <= FEW:
        headers = ["STATUS", "ANSWERED BY", "ON NODE", "SOURCE THAT IT SAW", "LATENCY"]
        parts.append(table([_row(reply, names, look) for reply in replies], headers, look, right="LATENCY"))
    if len(replies) > 1:
        parts.append(_shares(replies, endpoints, look))
        parts.append(_latency(replies))
    return "\n\n".join(parts)


def _row(reply: Reply, names: Names, look: Look) -> list[str]:
    if reply.error:
        status = paint(words.line(reply.error), "red", look)
    else:
        status = str(reply.status) if reply.status else "answered"
    source = words.place(*reply.source, names) if reply.source else ""
    return [status, words.line(reply.pod), words.line(reply.node), source, words.seconds(reply.latency_s)]


def _shares(replies: Sequence[Reply], endpoints: Sequence[str], look: Look) -> str:
    """Return the table of shares; a fair choice stays within FAIR (see `lab.shares` for how surely)."""
    rows = []
    for share in _share_data(replies, endpoints):
        fair = share["fair"]
        within = not fair or fair[0] <= share["count"] <= fair[1]
        count = str(share["count"]) if within else paint(str(share["count"]), "red", look)
        rows.append([share["by"], count, f"{share['percent']:.1f} %", f"{fair[0]} to {fair[1]}" if fair else ""])
    return table(rows, ["ANSWERED BY", "REQUESTS", "SHARE", "FAIR"], look, right="REQUESTS SHARE")


def _share_data(replies: Sequence[Reply], endpoints: Sequence[str]) -> list[dict[str, Any]]:
    counts = Counter(dict.fromkeys(endpoints, 0))
    counts.update(words.line(reply.error or reply.pod or "answered") for reply in replies)
    fair = list(shares.bounds(len(endpoints), len(replies))) if endpoints else None
    return [
        {"by": by, "count": count, "percent": 100 * count / len(replies), "fair": fair if by in endpoints else None}
        for by, count in counts.items()
    ]


def _latencies(replies: Sequence[Reply]) -> dict[str, float] | None:
    """Return the latencies of what was answered: an error's time is the deadline's."""
    ordered = sorted(reply.latency_s for reply in replies if reply.answered)
    if not ordered:
        return None
    return {"min": ordered[0], "median": median(ordered), "p99": ordered[len(ordered) * 99 // 100], "max": ordered[-1]}


def _latency(replies: Sequence[Reply]) -> str:
    answered = sum(reply.answered for reply in replies)
    line = f"{answered} of {words.count(len(replies), 'request')} answered"
    if times := _latencies(replies):
        shown = {name: words.seconds(value) for name, value in times.items()}
        line += f"; latency: median {shown['median']}, 99 % within {shown['p99']}, slowest {shown['max']}"
    return line


def data(replies: Sequence[Reply], endpoints: Sequence[str], names: Names) -> dict[str, Any]:
    """Return all replies and the shares.

    Keys: `requests`, `answered` (numbers); `replies` (each `error`, empty when answered, `status`, `pod`, `node`,
    `source` and `local` (null or `address`, `port`, `name`), `latency_s`); `shares` (each `by`, `count`, `percent`,
    `fair`: null or the lowest and the highest count that a fair choice gives); `latency_s` of what was answered
    (null or `min`, `median`, `p99`, `max`).
    """
    return {
        "requests": len(replies),
        "answered": sum(reply.answered for reply in replies),
        "replies": [
            {
                "error": reply.error,
                "status": reply.status,
                "pod": reply.pod,
                "node": reply.node,
                "source": _end(reply.source, names),
                "local": _end(reply.local, names),
                "latency_s": reply.latency_s,
            }
            for reply in replies
        ],
        "shares": _share_data(replies, endpoints),
        "latency_s": _latencies(replies),
    }


def _end(end: tuple[Any, int] | None, names: Names) -> dict[str, Any] | None:
    return {"address": str(end[0]), "port": end[1], "name": names.get(end[0], "")} if end else None
