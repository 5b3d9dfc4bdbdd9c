from __future__ import annotations

import math
import time
from fractions import Fraction

import pytest

from lab.shares import FALSE_ALARM, REQUESTS_MAX, bounds, requests_needed, requests_to_reach


def pmf(count: int, requests: int, p: Fraction) -> Fraction:
    """Return the exact chance of `count`."""
    return math.comb(requests, count) * p**count * (1 - p) ** (requests - count)


def outside(endpoints: int, requests: int, p: Fraction) -> Fraction:
    """Return the exact chance that an endpoint chosen with `p` is out of the bounds."""
    low, high = bounds(endpoints, requests)
    return 1 - sum((pmf(count, requests, p) for count in range(low, high + 1)), Fraction(0))


@pytest.mark.parametrize("endpoints", [2, 3, 5, 10])
@pytest.mark.parametrize("requests", [1, 7, 40, None])
def test_a_fair_choice_is_called_unfair_less_often_than_promised(endpoints: int, requests: int | None) -> None:
    number = requests or requests_needed(endpoints)
    alarm = endpoints * outside(endpoints, number, Fraction(1, endpoints))  # Boole: at least the chance that any is out
    assert alarm <= FALSE_ALARM


@pytest.mark.parametrize(("endpoints", "requests"), [(2, 131), (3, 297), (10, 1507)])
def test_bounds_are_the_tightest_that_keep_the_promise(endpoints: int, requests: int) -> None:
    low, high = bounds(endpoints, requests)
    p, allowed = Fraction(1, endpoints), Fraction(FALSE_ALARM) / (2 * endpoints)
    assert sum(pmf(count, requests, p) for count in range(low)) <= allowed
    assert sum(pmf(count, requests, p) for count in range(low + 1)) > allowed
    assert sum(pmf(count, requests, p) for count in range(high + 1, requests + 1)) <= allowed
    assert sum(pmf(count, requests, p) for count in range(high, requests + 1)) > allowed


@pytest.mark.parametrize(("endpoints", "requests"), [(0, 1), (1, 1), (2, 131), (3, 297), (4, 462), (16, 2593)])
def test_requests_needed_for_so_many_endpoints(endpoints: int, requests: int) -> None:
    assert requests_needed(endpoints) == requests


@pytest.mark.parametrize("endpoints", [2, 3, 5, 16])
def test_a_share_wrong_by_half_is_out_of_the_bounds_on_average_and_with_one_request_less_is_not(endpoints: int) -> None:
    number = requests_needed(endpoints)

    def excludes(requests: int) -> bool:
        low, high = bounds(endpoints, requests)
        return requests / endpoints / 2 < low and requests / endpoints * 1.5 > high

    assert excludes(number)
    assert not excludes(number - 1)


@pytest.mark.parametrize("endpoints", [2, 3, 5])
def test_power_half_a_share_is_seen_every_other_time_and_a_fifth_of_one_always(endpoints: int) -> None:
    number = requests_needed(endpoints)
    assert outside(endpoints, number, Fraction(1, 2 * endpoints)) > 0.4
    assert outside(endpoints, number, Fraction(1, 5 * endpoints)) > 0.998


def test_the_cap_still_sees_what_it_says_that_it_sees() -> None:
    assert requests_needed(17) == requests_needed(1000) == REQUESTS_MAX
    fair = REQUESTS_MAX / 32
    low, high = bounds(32, REQUESTS_MAX)
    assert 0.39 * fair <= low
    assert high <= 1.76 * fair
    assert bounds(109, REQUESTS_MAX)[0] == 1  # an endpoint that is never chosen is seen
    assert bounds(110, REQUESTS_MAX)[0] == 0


def test_a_single_endpoint_gets_everything() -> None:
    assert bounds(1, 12) == (12, 12)


def test_requests_needed_and_bounds_take_no_time_that_a_user_would_notice() -> None:
    requests_needed.cache_clear()
    bounds.cache_clear()
    begin = time.process_time()
    for endpoints in (2, 16, 500):
        bounds(endpoints, requests_needed(endpoints))
    assert time.process_time() - begin < 0.2


@pytest.mark.parametrize("endpoints", [2, 3, 4, 8, 58])
def test_who_gets_half_a_fair_share_is_left_out_less_often_than_promised(endpoints: int) -> None:
    def left_out(requests: int) -> float:
        return float(endpoints * (1 - 1 / (2 * endpoints)) ** requests)

    number = requests_to_reach(endpoints)
    assert left_out(number) <= FALSE_ALARM < left_out(number - 1)
    assert number <= REQUESTS_MAX == requests_to_reach(59)
    assert requests_to_reach(1) == 1


def test_one_fifth_of_what_is_left_leaves_each_of_five_half_a_fair_share() -> None:
    shares, left = [], 1.0
    for _ in range(4):
        shares.append(0.2 * left)
        left -= shares[-1]
    assert min(*shares, left) >= 0.5 / 5  # exercises/01-clusterip/statistic-skew
