"""Rules saved on a real node, whatever saved them: iptables-save, ip6tables-save, `nft list ruleset` (or with -j)."""

from __future__ import annotations

import re
from collections.abc import Iterable

from lab.errors import TopologyError
from lab.model.address import Family
from lab.model.netfilter import Table
from lab.parse import iptables_save, nft_json, nft_text
from lab.parse.cluster_files import data_of, source_of
from lab.parse.quick import uncollected

_TABLES: dict[Family, tuple[str, ...]] = {"ipv4": ("ip", "inet", ""), "ipv6": ("ip6", "inet", "")}
_NFT_TEXT = re.compile(r"^(#.*\n|\s)*table ", re.MULTILINE)


def load(files: Iterable[str]) -> tuple[tuple[Table, ...], tuple[str, ...]]:
    """Return the tables of several files ("-" is standard input), and what they say is missing.

    iptables-nft keeps its rules in nft tables, which nft lists in part: where both are given, iptables-save's count.
    Raises `TopologyError` naming file and line.
    """
    tables: list[Table] = []
    notes: list[str] = []
    for name in files:
        found, missing = read(data_of(name).decode("utf-8-sig", "replace"), source_of(name))
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
        return nft_json.tables_of(nft_text.objects(text, source), source)
    return iptables_save.read(text, source)


def of_family(tables: Iterable[Table], family: Family) -> tuple[Table, ...]:
    """Return the tables that a packet of `family` meets; raises `TopologyError` if there are none."""
    tables = tuple(tables)
    found = tuple(table for table in tables if table.family in _TABLES[family])
    if not found:
        held = ", ".join(sorted({f"{table.family} {table.name}" for table in tables}))
        hint = "ip6tables-save prints IPv6 rules" if family == "ipv6" else "iptables-save prints IPv4 rules"
        raise TopologyError(f"these rules are not for {family}: there are only the tables {held}", hint=hint)
    return found
