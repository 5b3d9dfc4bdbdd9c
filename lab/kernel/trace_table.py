"""The table that asks for a packet's trace events and shows it at each hook, as nf_tables messages.

The table belongs to the socket that made it (NFT_TABLE_F_OWNER, Linux 5.12): nobody else can change it, and it goes
with the socket, whatever ends the process. What is packed here stands for

    table inet NAME {
        flags owner
        set ends { type ipv4_addr . inet_service; }
        set askers { type ipv4_addr; }
        set errors { type icmp_type; }
        chain prerouting-asks { type filter hook prerouting priority -320;
            ip protocol tcp ip daddr . th dport @ends meta nftrace set 1 accept
            ip protocol tcp ip saddr . th sport @ends meta nftrace set 1 accept
            ip protocol tcp ip saddr @askers meta nftrace set 1 accept
            ip protocol tcp ip daddr @askers meta nftrace set 1 accept
            icmp type @errors meta nftrace set 1 accept
        }
        chain prerouting-replies { type filter hook prerouting priority -199;
            meta l4proto tcp ct original ip daddr . ct original proto-dst @ends meta nftrace set 1 accept
        }
        chain prerouting-first { type filter hook prerouting priority -310; }
        chain prerouting-last { type filter hook prerouting priority 310; }
        ...
    }

with `asks` and `replies` at output too, and `first` and `last` at every hook. A chain without rules lets all packets
pass, and tells of those that are traced. Source: linux/netfilter/nf_tables.h, nft(8).
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lab.kernel.netlink import NLA_F_NESTED, NLM_F_CREATE, NLM_F_EXCL, Message, attribute, string

SUBSYSTEM = 10
"""NFNL_SUBSYS_NFTABLES"""
NFPROTO_INET = 1

_NEWTABLE, _DELTABLE, _NEWCHAIN, _NEWRULE, _NEWSET, _NEWSETELEM = 0, 2, 3, 6, 9, 12
_NLM_F_APPEND = 0x800
_OWNER = 0x2
_LIST_ELEM = 1
_TABLE_NAME, _TABLE_FLAGS = 1, 2
_CHAIN_TABLE, _CHAIN_NAME, _CHAIN_HOOK, _CHAIN_TYPE = 1, 3, 4, 7
_HOOK_NUMBER, _HOOK_PRIORITY = 1, 2
_RULE_TABLE, _RULE_CHAIN, _RULE_EXPRESSIONS = 1, 2, 4
_SET_TABLE, _SET_NAME, _SET_KEY_TYPE, _SET_KEY_LEN, _SET_ID = 1, 2, 4, 5, 10
_ELEMENTS_TABLE, _ELEMENTS_SET, _ELEMENTS, _ELEMENT_KEY = 1, 2, 3, 1
_EXPR_NAME, _EXPR_DATA = 1, 2
_DATA_VALUE, _DATA_VERDICT, _VERDICT_CODE = 1, 2, 1
_NF_ACCEPT = 1
_META_NFTRACE, _META_NFPROTO, _META_L4PROTO = 12, 15, 16
_CT_PROTO_DST, _CT_DST_IP, _CT_DST_IP6 = 12, 20, 22
_CT_STATE, _CT_STATUS = 0, 2
_STATE_INVALID, _STATE_NEW, _STATUS_CONFIRMED = 0x1, 0x8, 0x8  # linux/netfilter/nf_conntrack_common.h
_NETWORK, _TRANSPORT = 1, 2  # NFT_PAYLOAD_*_HEADER
_VERDICT, _REGISTER, _THIRD_WORD, _SECOND_WORD = 0, 1, 2, 9  # NFT_REG_VERDICT, NFT_REG_1, NFT_REG_2, NFT_REG32_01
_IPV4_ADDR, _IPV6_ADDR, _INET_SERVICE, _ICMP_TYPE, _ICMP6_TYPE = 7, 8, 13, 14, 29  # of nft(8) itself
_ICMP, _ICMP6 = 1, 58
_ERRORS = {2: (3, 4, 5, 11, 12), 10: (1, 2, 3, 4)}  # types of ICMP messages that quote the packet that they are about

HOOKS = ("prerouting", "input", "forward", "output", "postrouting")
"""In the order of NF_INET_PRE_ROUTING and so on."""

FIRST, LAST = -310, 310
"""Priorities before and behind what anybody has at a hook; raw is -300, conntrack's helpers 300."""
_ASKS, _REPLIES = -320, -199  # before the first; behind conntrack, which is -200
_MOST_ELEMENTS = 1000  # in one message: an attribute has 64 KiB at most


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """Which packets: those of IP version `family` (AF_INET, AF_INET6) and the IP protocol `protocol` (6, 17), ...

    ... to or from one of `ends` (packed address, port), or of `askers` (packed addresses), and all errors of ICMP.
    `replies`: also those whose conntrack entry began towards one of `ends`. This turns conntrack on in the namespace.
    """

    family: int
    protocol: int
    ends: tuple[tuple[bytes, int], ...]
    askers: tuple[bytes, ...]
    replies: bool


def made(table: str, wanted: Wanted) -> list[Message]:
    """Return the transaction that makes the table."""
    six = wanted.family == socket.AF_INET6
    address, length = (_IPV6_ADDR, 16) if six else (_IPV4_ADDR, 4)
    ends = [packed + struct.pack("!Hxx", port) for packed, port in dict.fromkeys(wanted.ends)]
    errors = [bytes([one]) for one in _ERRORS[wanted.family]]
    return [
        _message(_NEWTABLE, _name(_TABLE_NAME, table) + _be32(_TABLE_FLAGS, _OWNER), NLM_F_EXCL),
        *_set(table, "ends", address << 6 | _INET_SERVICE, ends, length + 4),
        *_set(table, "askers", address, list(dict.fromkeys(wanted.askers)), length),
        *_set(table, "errors", _ICMP6_TYPE if six else _ICMP_TYPE, errors, 1),
        *(one for hook in HOOKS for one in _observers(table, hook)),
        *(one for hook in ("prerouting", "output") for one in _asking(table, hook, wanted)),
    ]


def made_for_new(table: str) -> list[Message]:
    """Return the transaction that makes a table which asks for the first packet of each connection, and strays.

    That is, at prerouting and at output, once conntrack has looked,

        ct state new ct status & confirmed == 0 meta nftrace set 1 accept
        ct state invalid meta nftrace set 1 accept

    A second packet that nobody has answered yet is new, too, but its entry is confirmed.
    """
    new = _ct_bits(_CT_STATE, _STATE_NEW) + _ct_bits(_CT_STATUS, _STATUS_CONFIRMED, set_=False)
    messages = [_message(_NEWTABLE, _name(_TABLE_NAME, table) + _be32(_TABLE_FLAGS, _OWNER), NLM_F_EXCL)]
    for hook in ("prerouting", "output"):
        name = f"{hook}-new"
        messages.append(_chain(table, name, hook, _REPLIES))
        messages += (_rule(table, name, one) for one in (new, _ct_bits(_CT_STATE, _STATE_INVALID)))
    return messages


def removed(table: str) -> list[Message]:
    """Return the transaction that removes the table."""
    return [_message(_DELTABLE, _name(_TABLE_NAME, table))]


def _observers(table: str, hook: str) -> Iterator[Message]:
    yield _chain(table, f"{hook}-first", hook, FIRST)
    yield _chain(table, f"{hook}-last", hook, LAST)


def _asking(table: str, hook: str, wanted: Wanted) -> Iterator[Message]:
    """Yield the chains whose rules ask for the trace."""
    six = wanted.family == socket.AF_INET6
    length, source, destination = (16, 8, 24) if six else (4, 12, 16)
    port = _THIRD_WORD if six else _SECOND_WORD  # what follows the address in a concatenation
    protocol = _is(_META_NFPROTO, wanted.family) + _is(_META_L4PROTO, wanted.protocol)

    def end(offset: int, place: int) -> bytes:
        return _payload(_NETWORK, offset, length) + _payload(_TRANSPORT, place, 2, port) + _lookup("ends")

    name = f"{hook}-asks"
    yield _chain(table, name, hook, _ASKS)
    yield _rule(table, name, protocol + end(destination, 2))
    yield _rule(table, name, protocol + end(source, 0))
    for offset in (source, destination):
        yield _rule(table, name, protocol + _payload(_NETWORK, offset, length) + _lookup("askers"))
    icmp = _is(_META_NFPROTO, wanted.family) + _is(_META_L4PROTO, _ICMP6 if six else _ICMP)
    yield _rule(table, name, icmp + _payload(_TRANSPORT, 0, 1) + _lookup("errors"))
    if wanted.replies:
        name = f"{hook}-replies"
        original = _ct(_CT_DST_IP6 if six else _CT_DST_IP, _REGISTER) + _ct(_CT_PROTO_DST, port)
        yield _chain(table, name, hook, _REPLIES)
        yield _rule(table, name, protocol + original + _lookup("ends"))


def _set(table: str, name: str, kind: int, keys: Sequence[bytes], length: int) -> Iterator[Message]:
    body = _name(_SET_TABLE, table) + _name(_SET_NAME, name) + _be32(_SET_KEY_TYPE, kind)
    yield _message(_NEWSET, body + _be32(_SET_KEY_LEN, length) + _be32(_SET_ID, 1), NLM_F_EXCL)
    for start in range(0, len(keys), _MOST_ELEMENTS):
        elements = b"".join(
            _nested(_LIST_ELEM, _nested(_ELEMENT_KEY, attribute(_DATA_VALUE, key)))
            for key in keys[start : start + _MOST_ELEMENTS]
        )
        body = _name(_ELEMENTS_TABLE, table) + _name(_ELEMENTS_SET, name) + _nested(_ELEMENTS, elements)
        yield _message(_NEWSETELEM, body)


def _chain(table: str, name: str, hook: str, priority: int) -> Message:
    place = _be32(_HOOK_NUMBER, HOOKS.index(hook)) + attribute(_HOOK_PRIORITY, struct.pack("!i", priority))
    body = _name(_CHAIN_TABLE, table) + _name(_CHAIN_NAME, name) + _nested(_CHAIN_HOOK, place)
    return _message(_NEWCHAIN, body + _name(_CHAIN_TYPE, "filter"))


def _rule(table: str, chain: str, matches: bytes) -> Message:
    """Return a rule that asks for the trace of what `matches`, and is its chain's last for it."""
    accept = _nested(_DATA_VERDICT, _be32(_VERDICT_CODE, _NF_ACCEPT))
    body = matches + _immediate(_REGISTER, attribute(_DATA_VALUE, b"\1")) + _meta(_META_NFTRACE, sets=True)
    expressions = _nested(_RULE_EXPRESSIONS, body + _immediate(_VERDICT, accept))
    return _message(_NEWRULE, _name(_RULE_TABLE, table) + _name(_RULE_CHAIN, chain) + expressions, _NLM_F_APPEND)


def _is(key: int, value: int) -> bytes:
    compared = _be32(1, _REGISTER) + _be32(2, 0) + _nested(3, attribute(_DATA_VALUE, bytes([value])))  # NFT_CMP_EQ
    return _meta(key) + _expression("cmp", compared)


def _meta(key: int, *, sets: bool = False) -> bytes:
    return _expression("meta", _be32(3 if sets else 1, _REGISTER) + _be32(2, key))


def _payload(base: int, offset: int, length: int, register: int = _REGISTER) -> bytes:
    return _expression("payload", _be32(1, register) + _be32(2, base) + _be32(3, offset) + _be32(4, length))


def _ct(key: int, register: int) -> bytes:
    original = attribute(3, b"\0")  # NFTA_CT_DIRECTION: IP_CT_DIR_ORIGINAL
    return _expression("ct", _be32(1, register) + _be32(2, key) + original)


def _ct_bits(key: int, bits: int, *, set_: bool = True) -> bytes:
    """Match if any of conntrack's `bits` (of this machine's own order) is set, or none."""
    masked = _be32(1, _REGISTER) + _be32(2, _REGISTER) + _be32(3, 4)
    masked += _nested(4, attribute(_DATA_VALUE, struct.pack("=I", bits))) + _nested(5, attribute(_DATA_VALUE, bytes(4)))
    compared = _be32(1, _REGISTER) + _be32(2, int(set_)) + _nested(3, attribute(_DATA_VALUE, bytes(4)))  # NFT_CMP_NEQ
    asked = _expression("ct", _be32(1, _REGISTER) + _be32(2, key))
    return asked + _expression("bitwise", masked) + _expression("cmp", compared)


def _lookup(name: str) -> bytes:
    return _expression("lookup", _name(1, name) + _be32(2, _REGISTER))


def _immediate(register: int, data: bytes) -> bytes:
    return _expression("immediate", _be32(1, register) + _nested(2, data))


def _expression(name: str, data: bytes) -> bytes:
    return _nested(_LIST_ELEM, _name(_EXPR_NAME, name) + _nested(_EXPR_DATA, data))


def _message(kind: int, body: bytes, flags: int = 0) -> Message:
    creates = 0 if kind == _DELTABLE else NLM_F_CREATE
    head = struct.pack("!BBH", NFPROTO_INET, 0, 0)
    return Message(kind=SUBSYSTEM << 8 | kind, flags=flags | creates, body=head + body)


def _nested(kind: int, value: bytes) -> bytes:
    return attribute(kind | NLA_F_NESTED, value)


def _be32(kind: int, value: int) -> bytes:
    return attribute(kind, value.to_bytes(4))


_name = string
