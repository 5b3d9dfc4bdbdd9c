"""What is asked of a lab while its objects change, and by whom it is answered."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from lab import edits
from lab.model.cluster import Cluster
from lab.standing import observe

from .conftest import Invoke
from .printed import ok

Lab = Callable[..., Invoke]
MODES = {
    "iptables-nft": ("--iptables", "nft"),
    "iptables-legacy": ("--iptables", "legacy"),
    "nftables": ("--mode", "nftables"),
}
each_mode = pytest.mark.parametrize("options", MODES.values(), ids=MODES)
MANY = observe.CURLS + 1
"""Requests: by sockets of our own, for a tenth of what as many processes of curl(1) take; none of four pods is left out
but once in 10**12 times."""
NODE_3 = "apiVersion: v1\nkind: Node\nmetadata: {name: node-3}\n"


def service(name: str, *, port: int = 80, target: str = "http", selector: str = "{app: web}") -> str:
    spec = f"{{selector: {selector}, ports: [{{port: {port}, targetPort: {target}}}]}}"
    return f"apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {spec}\n---\n"


def who(invoke: Invoke, to: str = "svc/web", count: int = MANY, *, source: str = "client-a") -> set[str]:
    """Return the pods that answered so many requests; "" if one had no answer."""
    words = ("lab.curl", source, to, "--count", str(count), "--timeout", "1.5", "--json")
    replies = json.loads(invoke(*words).stdout)["replies"]
    return {reply.get("pod") or "" for reply in replies}


def objects(invoke: Invoke) -> Any:
    return json.loads(ok(invoke("lab.status", "--json")))


def scaled(replicas: int) -> Callable[[Cluster], Cluster]:
    return lambda cluster: edits.scale(cluster, "web", replicas)


def no_progress(_what: str, _done: int, _total: int) -> None:
    pass
