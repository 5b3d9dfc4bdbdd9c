"""What nf_tables holds in the namespace that this thread is in: tables, rules' handles, how often it was changed.

Read over netlink, since `nft` takes seconds and memory for large rule sets. Source: linux/netfilter/nf_tables.h.
"""

from __future__ import annotations

import struct

from lab.kernel.netlink import NETLINK_NETFILTER, Channel, Message, Refusal, attributes, string

_GETTABLE, _GETRULE, _GETGEN = 10 << 8 | 1, 10 << 8 | 7, 10 << 8 | 16
_HEADERS_BYTES = 20  # struct nlmsghdr, struct nfgenmsg
_FAMILIES = {"inet": 1, "ip": 2, "arp": 3, "netdev": 5, "bridge": 7, "ip6": 10}
_NAMES = {number: name for name, number in _FAMILIES.items()}
_TABLE_NAME, _RULE_TABLE, _RULE_CHAIN, _RULE_HANDLE, _GEN_ID = 1, 1, 2, 3, 1


def tables() -> list[tuple[str, str]]:
    """Return the family (`ip`, `inet`...) and the name of each table, iptables-nft's among them."""
    with Channel(protocol=NETLINK_NETFILTER) as channel:
        return [
            (_NAMES.get(raw[16], ""), _text(dict(attributes(raw[_HEADERS_BYTES:])), _TABLE_NAME))
            for raw in channel.dump(_GETTABLE, _head(0))
        ]


def handles(family: str, table: str) -> dict[str, tuple[int, ...]]:
    """Return the handles of the rules of each chain of a table, in their order; chains without rules are left out."""
    found: dict[str, list[int]] = {}
    with Channel(protocol=NETLINK_NETFILTER) as channel:
        for raw in channel.dump(_GETRULE, _head(_FAMILIES[family]) + string(_RULE_TABLE, table)):
            parts = dict(attributes(raw[_HEADERS_BYTES:]))
            if _text(parts, _RULE_TABLE) == table:  # old kernels give those of all tables
                found.setdefault(_text(parts, _RULE_CHAIN), []).append(int.from_bytes(parts[_RULE_HANDLE]))
    return {chain: tuple(numbers) for chain, numbers in found.items()}


def generation() -> int:
    """Return the number of the rule set, which each change of any table raises."""
    with Channel(protocol=NETLINK_NETFILTER) as channel:
        answer = channel.get(Message(kind=_GETGEN, flags=0, body=_head(0)))
    if isinstance(answer, Refusal):
        return 0
    return int.from_bytes(dict(attributes(answer[4:])).get(_GEN_ID, b""))


def _head(family: int) -> bytes:
    return struct.pack("!BBH", family, 0, 0)


def _text(parts: dict[int, bytes], kind: int) -> str:
    return parts.get(kind, b"").rstrip(b"\0").decode(errors="replace")
