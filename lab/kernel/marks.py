"""The fwmarks of packets, seen by a table of our own: at each hook the mark that a flow's first packet has there.

The kernel keeps them in a set of each hook (`nft list table ip hairpin-marks` shows them), so none is lost. The table
stands only while somebody looks. Needs no root in a user namespace.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from lab.kernel import command

_TABLE = "hairpin-marks"
# After each hook's DNAT (dstnat is -100), before filter (0) may drop; at postrouting before kube-proxy's chain (srcnat,
# 100) takes its mark off (linux/netfilter_ipv4.h).
_PRIORITIES = {"prerouting": -99, "input": -1, "forward": -1, "output": -99, "postrouting": 99}
_FAMILIES = {"ip": "ipv4_addr", "ip6": "ipv6_addr"}
_MOST = 65_535


class Seen(NamedTuple):
    """A flow's first packet at a hook: its source there, its protocol (`tcp`, `udp`), its mark."""

    hook: str
    address: str
    port: int
    protocol: str
    mark: int


@contextmanager
def watched(nodes: Sequence[str]) -> Iterator[None]:
    """Watch the marks on `nodes` (namespaces of this capsule) for a while; `read` has them until that ends.

    Raises `HostError` without nft, `KernelError` if the kernel refuses the table.
    """
    anew = "".join(map(_table, _FAMILIES))
    _run(nodes, ("nft", "-f", "-"), anew)
    try:
        yield
    finally:
        _run(nodes, ("nft", "-f", "-"), "".join(f"delete table {family} {_TABLE}\n" for family in _FAMILIES))


def read(nodes: Sequence[str]) -> dict[str, list[Seen]]:
    """Return what was seen on each of the `nodes` since `watched` began."""
    found: dict[str, list[Seen]] = {node: [] for node in nodes}
    for family in _FAMILIES:
        for node, text in zip(nodes, _run(nodes, ("nft", "-j", "list", "table", family, _TABLE)), strict=True):
            found[node] += _seen(text)
    return found


def _run(nodes: Sequence[str], argv: tuple[str, ...], stdin: str = "") -> list[str]:
    wanted = [command.Command(argv=argv, netns=node, stdin=stdin) for node in nodes]
    return [done.stdout for done in command.check_all(wanted)]


def _seen(text: str) -> Iterator[Seen]:
    for one in json.loads(text)["nftables"]:
        for element in one.get("set", {}).get("elem", ()):
            address, port, protocol, mark = element["concat"]
            yield Seen(one["set"]["name"], address, port, protocol, mark)


def _table(family: str) -> str:
    """Return the commands that make the table of a family anew, whatever was left of one before."""
    sets = "".join(
        f"  set {hook} {{ type {_FAMILIES[family]} . inet_service . inet_proto . mark;"
        f" flags dynamic; size {_MOST}; }}\n"
        f"  chain {hook} {{\n    type filter hook {hook} priority {priority};\n"
        f"    ct state new update @{hook} {{ {family} saddr . th sport . meta l4proto . meta mark }}\n  }}\n"
        for hook, priority in _PRIORITIES.items()
    )
    return f"table {family} {_TABLE}\ndelete table {family} {_TABLE}\ntable {family} {_TABLE} {{\n{sets}}}\n"
