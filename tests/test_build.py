"""What the builder decides without a kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.kernel import sysctl
from lab.model.ops import Sysctl
from lab.standing import build

if TYPE_CHECKING:
    import pytest


def test_a_kernel_without_ipv6_has_nothing_to_switch_off(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    monkeypatch.setattr(sysctl, "exists", lambda _: False)
    monkeypatch.setattr(sysctl, "write", lambda key, _: written.append(key))
    builder = build._Builder(mend=False)
    builder.here = "web-1"
    builder.sysctl(Sysctl(netns="web-1", key="net.ipv6.conf.all.disable_ipv6", value="1"))
    builder.sysctl(Sysctl(netns="web-1", key="net.ipv4.ip_forward", value="1"))
    assert written == ["net.ipv4.ip_forward"]
