"""Rules saved on a real node, whatever saved them: iptables-save, ip6tables-save, `nft list ruleset` (or with -j)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from lab.errors import TopologyError
from lab.model.address import Family
from lab.model.netfilter import HOOKS, IPTABLES, Table
from lab.parse import iptables_save, nft_json, nft_text
from lab.parse.files import data_of, source_of
from lab.parse.quick import uncollected

_TABLES: dict[Family, tuple[str, ...]] = {"ipv4": ("ip", "inet", ""), "ipv6": ("ip6", "inet", "")}
MAX_BYTES = 512 * 2**20
_HINT = "iptables-save, ip6tables-save and nft list ruleset print what is needed"
_NFT_TEXT = re.compile(r"^(#.*\n|\s)*table ", re.MULTILINE)


def load(files: Iterable[str]) -> tuple[tuple[Table, ...], tuple[str, ...]]:
    """Return the tables of several files ("-" is standard input), and what they say is missing.

    iptables-nft keeps its rules in nft tables, which nft lists in part: where both are given, iptables-save's count.
    Raises `TopologyError` naming file and line.
    """
    tables: list[Table] = []
    notes: list[str] = []
    for name in files:
        found, missing = read(data_of(name, most=MAX_BYTES, hint=_HINT).decode("utf-8-sig", "replace"), source_of(name))
        tables += found
        notes += missing
    saved = {(table.family, table.name) for table in tables if table.iptables}
    return tuple(one for one in tables if one.iptables or (one.family, one.name) not in saved), tuple(notes)


def read(text: str, source: str) -> tuple[tuple[Table, ...], tuple[str, ...]]:
    """Return the tables of one text; `source` is what messages call it."""
    with uncollected():
        return _read(text, source)


def _read(text: str, source: str) -> tuple[tuple[Table, ...], tuple[str, ...]]:
    if text.lstrip()[:1] in ("{", "["):
        return nft_json.read(text, source)
    if _NFT_TEXT.match(text):
        tables, notes = nft_json.tables_of(nft_text.objects(text, source), source)
        return tuple(replace(one, lacks="matches") if _of_iptables(one) else one for one in tables), notes
    return iptables_save.read(text, source)


def _of_iptables(table: Table) -> bool:
    """Return whether a table looks like one of iptables-nft's, of which nft's text leaves out whole matches."""
    ruled = any(chain.rules for chain in table.chains.values())
    return ruled and table.family != "inet" and table.name in IPTABLES and any(one in table.chains for one in HOOKS)


def of_family(tables: Iterable[Table], family: Family) -> tuple[Table, ...]:
    """Return the tables that a packet of `family` meets.

    Raises `TopologyError` if there are none, and for a table of which nft left out what decides.
    """
    tables = tuple(tables)
    found = tuple(table for table in tables if table.family in _TABLES[family])
    if not found:
        held = ", ".join(sorted({f"{table.family} {table.name}" for table in tables}))
        hint = "ip6tables-save prints IPv6 rules" if family == "ipv6" else "iptables-save prints IPv4 rules"
        raise TopologyError(f"these rules are not for {family}: there are only the tables {held}", hint=hint)
    for table in found:
        if table.lacks == "matches":
            tool = _tool(table)
            raise TopologyError(
                _part(table), hint=f"give what {tool} -c prints, too: --rules {tool}.txt --rules nft.txt"
            )
    return found


def gaps(tables: Iterable[Table]) -> tuple[str, ...]:
    """Return, a sentence each, which tables are listed without what decides in some of their rules."""
    return tuple(
        f"{_part(table)}; what {_tool(table)} -c prints would tell (--rules may be repeated)"
        for table in tables
        if table.lacks == "options"
    )


def _part(table: Table) -> str:
    return f"the table {table.family} {table.name} is iptables-nft's: nft lists its rules without what it cannot tell"


def _tool(table: Table) -> str:
    return "ip6tables-save" if table.family == "ip6" else "iptables-save"
