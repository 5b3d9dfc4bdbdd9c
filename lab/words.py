"""How an address, a tuple and a duration are written, in findings and in tables alike."""

from __future__ import annotations

from datetime import UTC, datetime
from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lab.model.address import IPAddress
    from lab.model.flow import Tuple

    Names = Mapping[IPAddress, str]

_CLOSE = Fraction(1, 1 << 28)


def socket(address: IPAddress, port: int) -> str:
    """Return `10.96.0.10:80` or `[fd00::a]:80`; the address alone for port 0 (ICMP)."""
    if not port:
        return str(address)
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"  # noqa: PLR2004 - IPv6


def place(address: IPAddress, port: int, names: Names) -> str:
    """Return the name, if there is one, and the socket: `svc/web 10.96.0.10:80`."""
    return f"{names.get(address, '')} {socket(address, port)}".lstrip()


def direction(way: Tuple, names: Names) -> str:
    """Return `client-a 10.244.1.2:40212 -> svc/web 10.96.0.10:80`."""
    return f"{place(way.src, way.sport, names)} -> {place(way.dst, way.dport, names)}"


def clock(time_ns: int) -> str:
    """Return `10:01:02.000123`, the time of day in UTC, of nanoseconds since the epoch."""
    moment = datetime.fromtimestamp(time_ns // 1_000_000_000, UTC)
    return f"{moment:%H:%M:%S}.{time_ns // 1000 % 1_000_000:06d}"


def seconds(duration_s: float) -> str:
    """Return a duration as people read it: `0.8 ms`, `13 ms`, `1.0 s`, `12 min`, `3 h`, `2 d`."""
    for unit, size, below in (("ms", 0.001, 1.0), ("s", 1.0, 120.0), ("min", 60.0, 7200.0), ("h", 3600.0, 172_800.0)):
        if duration_s < below:
            number = duration_s / size
            return f"{number:.1f} {unit}" if number < 10 and unit in {"ms", "s"} else f"{number:.0f} {unit}"  # noqa: PLR2004 - two digits
    return f"{duration_s / 86_400:.0f} d"


def several(words: Sequence[str], last: str) -> str:
    """Return `a`, `a or b`, `a, b or c`; `last` is the word before the last one."""
    return f"{', '.join(words[:-1])} {last} {words[-1]}" if len(words) > 1 else "".join(words)


def few(items: Sequence[str], most: int, more: str = "more") -> list[str]:
    """Return the items, or the first `most` and how many there are beside: `a`, `b`, `7 more`."""
    return list(items) if len(items) <= most else [*items[:most], f"{len(items) - most} {more}"]


def share(part: Fraction) -> str:
    """Return `1/3`, also for the nearest number to it that a rule's 31 random bits can hold; else a percentage."""
    near = part.limit_denominator(1000)
    return str(near) if abs(near - part) < _CLOSE else f"{float(part):.4%}"


def noun(number: int, one: str, many: str = "") -> str:
    """Return `flow` for 1, `flows` else."""
    return one if number == 1 else many or f"{one}s"


def count(number: int, one: str, many: str = "") -> str:
    """Return `1 flow`, `2 flows`."""
    return f"{number} {noun(number, one, many)}"


def line(text: str) -> str:
    """Return a text that came from outside as one line without control characters, so that it cannot leave its cell."""
    return "".join(letter if letter.isprintable() else "?" for letter in " ".join(text.split()))


def cut(text: str, width: int, ellipsis: str) -> str:
    """Return a text, or as much of its beginning as, with an ellipsis behind it, has `width` letters."""
    return text if len(text) <= width else text[: max(0, width - len(ellipsis))].rstrip() + ellipsis
