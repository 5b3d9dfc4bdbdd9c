"""What the kernel told of packets (`lab.kernel.trace_events.Raw`, `lab.kernel.tap.Frame`) -> events and taps.

Whatever stands in the attributes of an event, nothing is raised: what is not there is 0 or empty.
Source: linux/netfilter/nf_tables.h (enum nft_trace_attributes), linux/netfilter/nfnetlink_log.h (enum
nfulnl_attr_type), and for the prefix trace_packet() in net/ipv4/netfilter/ip_tables.c.
"""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from lab.model.trace import OWN_TABLE, Event
from lab.parse.frame import frame

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from lab.model.packet import Packet

    Attributes = Mapping[int, bytes]
    Raw = tuple[str, Literal["nft", "log"], int, Attributes, Attributes]
    Names = Mapping[int, str]

_FAMILIES: Mapping[int, Literal["ip", "ip6", "inet", "bridge", "netdev", "arp"]] = {
    1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6",
}  # fmt: skip
_TYPES: Mapping[int, Literal["rule", "return", "policy"]] = {1: "policy", 2: "return", 3: "rule"}
_WORDS: Mapping[str, Literal["rule", "return", "policy"]] = {word: word for word in _TYPES.values()}
# NF_* of linux/netfilter.h, NFT_* of linux/netfilter/nf_tables.h
_VERDICTS = {
    0: "drop", 1: "accept", 2: "stolen", 3: "queue", 4: "queue", -1: "continue", -2: "continue", -3: "jump",
    -4: "goto", -5: "return",
}  # fmt: skip
_OBSERVES = ("-first", "-last")
_ETHERTYPES = {4: 0x0800, 6: 0x86DD}
_PREFIX = "TRACE: "
_WITH_PORTS = (b"\x06", b"\x11")  # TCP, UDP


class Concerned:
    """Says of a packet's bytes whether they may be of one request: they hold one of its asker's ports.

    Others' packets come by the thousand where many requests are under way; this sorts them out in 0.1 us each. It takes
    one in 1000 for ours that is not.
    """

    def __init__(self, ports: Iterable[int] = ()) -> None:
        """Ask for packets with one of `ports`; for none of them, for every packet."""
        self._ports = [port.to_bytes(2) for port in dict.fromkeys(ports)]

    def __call__(self, data: bytes) -> bool:
        """Return whether bytes from the IP header on may be a packet of the request, or not of TCP or UDP at all."""
        return not self._ports or any(port in data for port in self._ports) or not _has_ports(data)


def _has_ports(data: bytes) -> bool:
    version = data[0] >> 4 if data else 0
    return (version == 4 and data[9:10] in _WITH_PORTS) or (version == 6 and data[6:7] in _WITH_PORTS)  # noqa: PLR2004 - IPv4, IPv6


def events(
    raw: Iterable[Raw], interfaces: Mapping[str, Names], own_table: str, concerned: Concerned | None = None
) -> Iterator[Event]:
    """Yield the events of datagrams in their order; `interfaces`: by namespace, the names of their indices.

    `own_table` is what our table is called there; of its events only those of the chains that show a packet are told,
    as of the table `OWN_TABLE`, and of others of its kind (another trace's) none. `concerned`: which packets' events.
    """
    concerned = concerned or Concerned()
    others: set[tuple[str, bytes]] = set()  # the ids of packets that it is not concerned with
    for netns, kind, family, parts, nested in raw:
        names = interfaces.get(netns, {})
        if not _is_told(netns, kind, parts, concerned, others):
            continue
        if kind == "log":
            if (told := _legacy(netns, family, parts, nested, names)) is not None:
                yield told
            continue
        table = _text(parts, 1)
        one = _nft(netns, family, table, parts, nested, names)
        if not table.startswith(OWN_TABLE):
            yield one
        elif table == own_table and one.packet and one.chain.endswith(_OBSERVES):
            # Of an empty chain kernels tell its end, and then its policy, or the policy alone.
            yield replace(one, table=OWN_TABLE, kind="policy", verdict="accept")


def _is_told(netns: str, kind: str, parts: Attributes, concerned: Concerned, others: set[tuple[str, bytes]]) -> bool:
    """Return whether an event is of a packet that we are concerned with; one without headers is as that before it."""
    if kind == "log":
        return concerned(parts.get(9, b""))
    key = (netns, parts.get(6, b""))
    if 8 in parts:  # noqa: PLR2004 - NFTA_TRACE_NETWORK_HEADER; ids are used again
        if concerned(parts[8] + parts.get(9, b"")):
            others.discard(key)
        else:
            others.add(key)
    return key not in others


def _nft(netns: str, family: int, table: str, parts: Attributes, nested: Attributes, names: Names) -> Event:
    handle = _number(parts, 3)
    kind = _TYPES.get(_number(parts, 4), "rule")
    return Event(
        netns=netns,
        id=_number(parts, 6),
        family=_FAMILIES.get(family, "inet"),
        table=table,
        chain=_text(parts, 2),
        kind="return" if kind == "rule" and not handle else kind,  # some kernels call a chain's end so
        verdict=_verdict(parts, nested),
        target=_text(nested, 2),
        handle=handle,
        mark=_number(parts, 14),
        iif=_interface(parts, 10, names),
        oif=_interface(parts, 12, names),
        packet=packet(parts.get(8, b"") + parts.get(9, b"")),  # the network's header, the transport's
        ct_id=_number(parts, 18),
    )


def _verdict(parts: Attributes, nested: Attributes) -> str:
    if 1 in nested:
        code = int.from_bytes(nested[1], signed=True)
    elif 16 in parts:  # noqa: PLR2004 - NFTA_TRACE_POLICY
        code = _number(parts, 16)
    else:
        return ""
    return _VERDICTS.get(code) or _VERDICTS.get(code & 0xFF, "")  # NF_QUEUE and NF_DROP may say more above


def _legacy(netns: str, family: int, parts: Attributes, nested: Attributes, names: Names) -> Event | None:
    """Return iptables-legacy's event; None for what another rule logs."""
    prefix = _text(parts, 10)
    table, _, rest = prefix.removeprefix(_PREFIX).strip().partition(":")
    chain, kind, number = (*rest.rsplit(":", 2), "", "")[:3]  # a chain's name may have a colon
    if not prefix.startswith(_PREFIX) or kind not in _WORDS or not (number.isascii() and number.isdecimal()):
        return None
    return Event(
        netns=netns,
        id=0,
        family=_FAMILIES.get(family, "ip"),
        table=table,
        chain=chain,
        kind=_WORDS[kind],
        number=int(number),
        mark=_number(parts, 2),
        marked_before=True,
        iif=_interface(parts, 4, names),
        oif=_interface(parts, 5, names),
        physin=_interface(parts, 6, names),
        physout=_interface(parts, 7, names),
        packet=packet(parts.get(9, b"")),
        ct_id=_number(nested, 12),  # CTA_ID
        time_ns=_time(parts.get(3, b"")),
    )


def packet(headers: bytes) -> Packet | None:
    """Return what a packet's headers say, from IP's on; None for none."""
    if not headers:
        return None
    return frame(headers, ethernet=False, protocol=_ETHERTYPES.get(headers[0] >> 4, 0))


def _time(raw: bytes) -> int | None:
    try:
        seconds, microseconds = struct.unpack("!QQ", raw)
    except struct.error:
        return None
    return int(seconds) * 1_000_000_000 + int(microseconds) * 1000


def _interface(parts: Attributes, kind: int, names: Names) -> str:
    """Return an interface's name; `#5` for one that was not there when the interfaces were listed."""
    index = _number(parts, kind)
    return names.get(index) or f"#{index}" if index else ""


def _number(parts: Attributes, kind: int) -> int:
    return int.from_bytes(parts.get(kind, b""))


def _text(parts: Attributes, kind: int) -> str:
    return parts.get(kind, b"").rstrip(b"\0").decode(errors="replace")
