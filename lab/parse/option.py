"""A word that an option of the command line takes, out of those that it knows."""

from __future__ import annotations

from collections.abc import Collection

from lab.errors import TopologyError
from lab.model.proxy_config import KubeProxyConfiguration
from lab.parse.mistake import listed, nearest, show
from lab.parse.values import REASONS


def check(option: str, value: str, known: Collection[str]) -> None:
    """Raise `TopologyError` if `value` is none of those, with the nearest one, or why a mode of old is not here."""
    if value in known:
        return
    if reason := option == "--mode" and REASONS.get((KubeProxyConfiguration, "mode", value)):
        raise TopologyError(f"{option} {show(value)} is not supported: {reason}; expected {listed(known)}")
    close = nearest(value, known)
    raise TopologyError(
        f"{option} {show(value)}: expected {listed(known)}", hint=f"did you mean {close}?" if close else ""
    )
