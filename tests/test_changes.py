"""What `exercise.watch` cannot hear of is said."""

from __future__ import annotations

from contextlib import nullcontext

import pytest

from lab.kernel import changes, legacy, netns


@pytest.mark.parametrize(("tables", "unheard"), [(None, True), ((), False), (("nat",), False)])
def test_changes_of_legacy_rules_are_unheard_where_the_kernel_tells_nothing_of_them(
    monkeypatch: pytest.MonkeyPatch, tables: tuple[str, ...] | None, *, unheard: bool
) -> None:
    monkeypatch.setattr(netns, "inside", lambda _name: nullcontext())
    monkeypatch.setattr(legacy, "tables", lambda family: tables if family == "ip6" else ())
    assert changes.unheard(["node-1", "node-2"]) is unheard
