from __future__ import annotations

from collections.abc import Callable

import pytest

from lab.parse import values


@pytest.mark.parametrize(
    ("rule", "good", "bad"),
    [
        (values.address, ["10.0.0.1", "::", "fd00::1"], ["", "10.0.0", "010.0.0.1", "fe80::1%eth0", "1", " 10.0.0.1"]),
        (values.cidr, ["10.0.0.0/8", "fd00::/64", "0.0.0.0/0"], ["10.0.0.1/8", "10.0.0.0", "10.0.0.0/33", "a/8", "/8"]),
        (values.cidrs, ["10.0.0.0/8", "10.0.0.0/8, fd00::/64"], ["10.0.0.0/8,11.0.0.0/8", "10.0.0.0/8,", ","]),
        (values.cluster_ip, ["", "None", "10.96.0.1"], ["none", "x"]),
        (values.target_port, ["http"], ["8080", "HTTP", "99999999999999999999"]),
    ],
)
def test_texts_are_judged_beyond_their_type(rule: Callable[[str], object], good: list[str], bad: list[str]) -> None:
    assert [text for text in good if rule(text)] == []
    assert [text for text in bad if not rule(text)] == []


def test_a_range_with_an_address_is_told_which_range_was_meant() -> None:
    assert str(values.cidr("10.244.1.7/16")).endswith("did you mean 10.244.0.0/16?")
