from __future__ import annotations

from collections.abc import Callable

import pytest

from lab.parse import names

L63, L64 = "a" * 63, "a" * 64


@pytest.mark.parametrize(
    ("rule", "good", "bad"),
    [
        (names.label, ["a", "0", "a-b", "a--b", L63], ["", "A", "-a", "a-", "a.b", "a_b", "a\n", "ä", L64]),
        (names.service_name, ["a", "a1", L63], ["1a", "", "a.b", "a\n", L64]),
        (names.subdomain, ["a", "a.b", "1.2", "a" * 253], ["", ".", "..", "a.", "a..b", "a/b", "../a", "a" * 254]),
        (names.port_name, ["", "http", "a1", "1a", "a" * 15], ["80", "a--b", "-a", "HTTP", "a" * 16]),
        (names.service_port_name, ["", "http", "80", L63], ["Http", "a_b", L64]),
        (names.label_key, ["app", "a.b/c", "A_b"], ["", "/a", "a/", "A/b", "a b", "a\n", L64]),
        (names.label_value, ["", "a", "A_b.c-d", L63], ["a b", "-a", "a\n", L64]),
    ],
)
def test_names_are_judged_as_the_api_server_judges_them(
    rule: Callable[[str], object], good: list[str], bad: list[str]
) -> None:
    assert [name for name in good if rule(name)] == []
    assert [name for name in bad if not rule(name)] == []
