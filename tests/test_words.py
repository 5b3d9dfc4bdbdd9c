from __future__ import annotations

from ipaddress import ip_address

import pytest

from lab import words
from lab.model.flow import Tuple


@pytest.mark.parametrize(
    ("address", "port", "text"),
    [("10.96.0.10", 80, "10.96.0.10:80"), ("fd00::a", 80, "[fd00::a]:80"), ("10.96.0.10", 0, "10.96.0.10")],
)
def test_a_socket_is_written_as_in_a_url(address: str, port: int, text: str) -> None:
    assert words.socket(ip_address(address), port) == text


def test_of_many_the_first_few_are_named_and_the_others_counted() -> None:
    assert words.few(["a", "b", "c"], 2, "more pods") == ["a", "b", "1 more pods"]
    assert words.few(["a", "b"], 2) == ["a", "b"]


def test_a_direction_has_names_beside_the_addresses_that_have_one() -> None:
    way = Tuple(src=ip_address("10.0.0.1"), sport=1, dst=ip_address("10.0.0.2"), dport=2)
    assert words.direction(way, {ip_address("10.0.0.2"): "web-1"}) == "10.0.0.1:1 -> web-1 10.0.0.2:2"


@pytest.mark.parametrize(
    ("duration_s", "text"),
    [
        (0.00084, "0.8 ms"), (0.0131, "13 ms"), (1.0, "1.0 s"), (12.0, "12 s"), (119.0, "119 s"), (120.0, "2 min"),
        (7199.0, "120 min"), (7200.0, "2 h"), (172_800.0, "2 d"),
    ],
)  # fmt: skip
def test_a_duration_has_the_unit_that_people_would_use(duration_s: float, text: str) -> None:
    assert words.seconds(duration_s) == text


@pytest.mark.parametrize(
    ("items", "text"), [([], ""), (["a"], "a"), (["a", "b"], "a or b"), (["a", "b", "c"], "a, b or c")]
)
def test_several_words_have_their_conjunction_before_the_last(items: list[str], text: str) -> None:
    assert words.several(items, "or") == text


def test_a_count_has_its_noun_in_the_right_number() -> None:
    assert [words.count(1, "flow"), words.count(0, "flow"), words.count(2, "address", "addresses")] == [
        "1 flow", "0 flows", "2 addresses",
    ]  # fmt: skip


def test_a_line_has_no_line_breaks_and_no_control_characters() -> None:
    assert words.line(" a\n b\x1b[0m\u202e ") == "a b?[0m?"
