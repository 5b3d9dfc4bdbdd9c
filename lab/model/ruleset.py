"""A ruleset as data: the tables, chains and rules of iptables for one node and one family.

A rule is the text that iptables-save(8) prints after `-A CHAIN `, so that what is wanted and what the kernel holds
compare word for word, and both are read by the same eyes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from lab.model.address import Family

TableName = Literal["mangle", "filter", "nat"]
Place = tuple[TableName, str]
"""A chain by its table and name."""

BUILT_IN = frozenset({"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"})


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain and its rules, in order.

    `owner` is the Service (`namespace/name`) that the chain exists for, "" for a chain that all Services share.
    """

    name: str
    rules: tuple[str, ...] = ()
    owner: str = ""

    @property
    def built_in(self) -> bool:
        """Whether this is one of the kernel's own chains: its rules are jumps into ours, and it is never declared."""
        return self.name in BUILT_IN


@dataclass(frozen=True, slots=True)
class ServiceRules:
    """What one service port adds to a ruleset: its own chains (table nat), and rules in chains that all share.

    The unit of a partial sync: it depends on nothing but its service port and the proxy's configuration.
    """

    owner: str
    chains: tuple[Chain, ...]
    shared: tuple[tuple[Place, str], ...]


def chain_lines(chains: Sequence[Chain]) -> Iterator[str]:
    """Yield chains as iptables-restore(8) reads them, all declared before the first rule of one."""
    for chain in chains:
        if not chain.built_in:
            yield f":{chain.name} - [0:0]"
    for chain in chains:
        head = f"-A {chain.name} "
        for rule in chain.rules:
            yield head + rule


@dataclass(frozen=True, slots=True)
class Table:
    """A table and its chains, those with the hooks' jumps (PREROUTING, INPUT, ...) first."""

    name: TableName
    chains: tuple[Chain, ...]

    def lines(self) -> Iterator[str]:
        """Yield the table as iptables-restore(8) reads it: all chains are declared before the first rule."""
        yield f"*{self.name}"
        yield from chain_lines(self.chains)
        yield "COMMIT"


@dataclass(frozen=True, slots=True)
class Ruleset:
    """All rules of one family on one node.

    `counters` names the nfacct objects that the rules refer to: they must exist before the rules are loaded.
    """

    family: Family
    tables: tuple[Table, ...]
    counters: tuple[str, ...] = ()

    def restore_text(self) -> str:
        """Return complete input for iptables-restore (ip6tables-restore for IPv6) on a clean node."""
        return "".join(f"{line}\n" for table in self.tables for line in table.lines())

    def chain(self, table: TableName, name: str) -> Chain | None:
        """Return a chain by its table and name, None when there is none."""
        return next((chain for place, chain in self.chains() if place == (table, name)), None)

    def chains(self) -> Iterator[tuple[Place, Chain]]:
        """Yield every chain with its place."""
        for table in self.tables:
            for chain in table.chains:
                yield (table.name, chain.name), chain


def gather(shared: Iterable[tuple[Place, str]]) -> dict[Place, list[str]]:
    """Return the rules of each shared chain, in the order given."""
    rules: dict[Place, list[str]] = {}
    for place, rule in shared:
        rules.setdefault(place, []).append(rule)
    return rules
