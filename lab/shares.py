"""Whether endpoints got equal shares: exact binomial bounds with a stated chance of a false alarm.

A fair choice among k endpoints gives each a binomial count of N requests with p = 1/k. An endpoint is suspected when
its count is so low, or so high, that a fair choice gives one as extreme with a chance of at most FALSE_ALARM / 2k
(Bonferroni: two sides, k endpoints). So a fair choice is called unfair with a chance of at most FALSE_ALARM in all, if
each request is a flow of its own: see `lab.ask.traffic.PORTS_KEPT`. That is so much less than one in a million, since
a check judges many shares, and CI makes many checks.
"""

from __future__ import annotations

from functools import lru_cache
from math import ceil, exp, floor, lgamma, log, log1p

FALSE_ALARM = 1e-8  # what is right is called wrong: in one judgement
LUCK = 1e-6  # what is wrong looks right
REQUESTS_MAX = 2600


@lru_cache(maxsize=64)
def bounds(endpoints: int, requests: int) -> tuple[int, int]:
    """Return the lowest and the highest count that a fair choice among `endpoints` may give one of them."""
    if endpoints == 1:
        return requests, requests
    p, allowed = 1 / endpoints, FALSE_ALARM / (2 * endpoints)
    low, chance = 0, _chance(0, requests, p)
    while chance <= allowed:
        low += 1
        chance += _chance(low, requests, p)
    high, chance = requests, _chance(requests, requests, p)
    while chance <= allowed:
        high -= 1
        chance += _chance(high, requests, p)
    return low, high


def requests_to_rule_out(chance: float) -> int:
    """Return how many requests it takes until what comes by luck with `chance` each time has not come every time.

    20 for 1/2, 13 for 1/3: then it has a chance of LUCK at most. Never more than REQUESTS_MAX.
    """
    return min(REQUESTS_MAX, ceil(log(LUCK) / log(chance)))


def requests_to_stick(endpoints: int) -> int:
    """Return how many requests it takes to see that they do not all go to one endpoint: 21 for 2, 14 for 3.

    A fair choice among k sends n requests to one endpoint with a chance of k^(1-n): at most LUCK. Where one
    endpoint is expected, any others are too many: they are two at least.
    """
    return 1 + requests_to_rule_out(1 / max(2, endpoints))


def requests_to_reach(endpoints: int) -> int:
    """Return how many requests it takes until each endpoint has been chosen: 67 for 2, 108 for 3, 149 for 4.

    Nobody says that the choice is fair: whether it is, is another question (`requests_needed`). So each may have as
    little as half of its fair share. That one of k is never chosen in n requests has then a chance of at most
    (1 - 1/2k)^n, and of any of them k times that: at most FALSE_ALARM. Above 58 it is REQUESTS_MAX.
    """
    if endpoints <= 1:
        return 1
    return min(REQUESTS_MAX, ceil(log(FALSE_ALARM / endpoints) / log1p(-1 / (2 * endpoints))))


@lru_cache(maxsize=64)
def requests_needed(endpoints: int) -> int:
    """Return how many requests it takes to see that a share is wrong by half: 131 for 2 endpoints, 297 for 3.

    That is the smallest number at which the counts that half the fair share and one and a half times the fair share
    lead to on average both lie outside the bounds. It grows with the number of endpoints (about 160 for each), and is
    never more than REQUESTS_MAX: that suffices for 16 endpoints. Of 32, one with under 0.39 or over 1.76 of its fair
    share is seen; up to 109, one that is never chosen. One endpoint needs one request.
    """
    if endpoints <= 1:
        return 1
    for requests in range(2 * endpoints, REQUESTS_MAX):
        if _excludes_half(endpoints, requests):
            return requests
    return REQUESTS_MAX


def _excludes_half(endpoints: int, requests: int) -> bool:
    """Return whether half the fair share and one and a half times the fair share are out of the bounds."""
    p, allowed = 1 / endpoints, FALSE_ALARM / (2 * endpoints)
    half, more = floor(requests * p / 2), ceil(requests * p * 1.5)
    return _tail(half, -1, requests, p, allowed) <= allowed and _tail(more, 1, requests, p, allowed) <= allowed


def _tail(count: int, step: int, requests: int, p: float, enough: float) -> float:
    """Return the chance of `count` or a count further out; stop adding once it is more than `enough`."""
    total = 0.0
    while 0 <= count <= requests and total <= enough:
        chance = _chance(count, requests, p)
        if chance < enough * 1e-9:
            break  # the rest is smaller still: less than the whole tail's last nine digits
        total += chance
        count += step
    return total


def _chance(count: int, requests: int, p: float) -> float:
    """Return the binomial chance of exactly `count`."""
    ways = lgamma(requests + 1) - lgamma(count + 1) - lgamma(requests - count + 1)
    return exp(ways + count * log(p) + (requests - count) * log1p(-p))
