"""Rules as the tools list them, of just the tables that are asked for, with the handles that trace events name.

`iptables-save` of either kind does not print handles: nf_tables gives them in the same order.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from lab.kernel import command, netns, nf_tables, syscalls

Tool = Literal["iptables-nft", "iptables-legacy", "nft"]

_IPTABLES = ("raw", "mangle", "nat", "filter", "security")
_PROGRAMS = {"ip": "iptables", "ip6": "ip6tables"}
_TIMEOUT_S = 60.0
_SO_GET_INFO = 64  # linux/netfilter_ipv4/ip_tables.h, linux/netfilter_ipv6/ip6_tables.h
_GETINFO = struct.Struct("=32s" + 13 * "I")  # struct ipt_getinfo; the name, hooks, entries, their number, their size
_LEVELS = {"ip": (socket.AF_INET, socket.IPPROTO_IP), "ip6": (socket.AF_INET6, socket.IPPROTO_IPV6)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """A table of a namespace, as a trace event names it; `legacy`: it is iptables-legacy's."""

    netns: str
    family: str
    name: str
    legacy: bool = False

    @property
    def tool(self) -> Tool:
        """What lists it."""
        if self.legacy:
            return "iptables-legacy"
        return "iptables-nft" if self.family in _PROGRAMS and self.name in _IPTABLES else "nft"


@dataclass(frozen=True, kw_only=True, slots=True)
class Listed:
    """What a tool printed: of the tables of one family that are iptables', or of one table that is nft's own."""

    netns: str
    tool: Tool
    family: str
    text: str
    handles: Mapping[tuple[str, str, str], tuple[int, ...]] = field(default_factory=dict)


def listed(tables: Sequence[Table]) -> list[Listed]:
    """Return what the tools print of `tables`, all of them side by side; what has vanished meanwhile is left out.

    Raises `HostError` if a tool is missing, `KernelError` if one does not end.
    """
    groups: dict[tuple[str, Tool, str, str], list[str]] = {}
    for one in tables:
        apart = "" if one.tool == "iptables-nft" else one.name
        groups.setdefault((one.netns, one.tool, one.family, apart), []).append(one.name)
    ends = command.run_all([_command(*key) for key in groups], timeout_s=_TIMEOUT_S)
    found: dict[tuple[str, Tool, str, str], Listed] = {}
    for (name, tool, family, apart), end in zip(groups, ends, strict=True):
        if end.status:
            continue
        key = (name, tool, family, apart if tool == "nft" else "")
        before = found[key].text if key in found else ""  # the tables of iptables-legacy come one by one
        handles = {} if tool == "iptables-legacy" else _handles(name, family, apart)
        found[key] = Listed(netns=name, tool=tool, family=family, text=before + end.stdout, handles=handles)
    return list(found.values())


def _command(name: str, tool: Tool, family: str, table: str) -> command.Command:
    if tool == "nft":
        return command.Command(argv=("nft", "-j", "list", "table", family, table), netns=name)
    program = tool.replace("iptables", _PROGRAMS[family]) + "-save"
    return command.Command(argv=(program, "-c", *(("-t", table) if table else ())), netns=name)


def _handles(name: str, family: str, table: str) -> dict[tuple[str, str, str], tuple[int, ...]]:
    """Return the handles of a table's rules, or ("") of those of all tables that are iptables'."""
    with netns.inside(name):
        tables = [table] if table else [one for kin, one in nf_tables.tables() if kin == family and one in _IPTABLES]
        return {
            (family, one, chain): numbers for one in tables for chain, numbers in nf_tables.handles(family, one).items()
        }


def generation(name: str, family: str, legacy: Sequence[str] = ()) -> tuple[int, *tuple[bytes, ...]]:
    """Return what differs when the rules of a namespace were changed: a number, and more.

    nf_tables counts its changes: that is the number. iptables-legacy does not: of its tables `legacy`, which must be
    there (asking for one makes it), it is how many rules there are, and where the chains begin.
    """
    with netns.inside(name):
        kind, level = _LEVELS[family]
        if not legacy:
            return (nf_tables.generation(),)
        with socket.socket(kind, socket.SOCK_RAW, socket.IPPROTO_RAW) as asking:
            told = [
                syscalls.getsockopt(asking.fileno(), level, _SO_GET_INFO, _GETINFO.pack(one.encode(), *13 * [0]))
                for one in legacy
            ]
        return (nf_tables.generation(), *told)
