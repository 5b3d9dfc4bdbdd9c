"""An nftables ruleset as data: the one table of a family, with its sets, maps and chains, as in nft(8).

A rule, a type and an element's key are texts that every nft from 1.0.1 reads; `owner` is the Service
(`namespace/name`) that a chain exists for, "" where all Services share it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from lab.model.address import Family

TABLE = "kube-proxy"
TABLE_FAMILY: dict[Family, Literal["ip", "ip6"]] = {"ipv4": "ip", "ipv6": "ip6"}
"""What nft calls the families."""


@dataclass(frozen=True, slots=True)
class Element:
    """An element of a set, or of a map when there is a `verdict`; the key's parts stand between dots."""

    key: str
    verdict: str = ""
    comment: str = ""

    def __str__(self) -> str:
        comment = f' comment "{self.comment}"' if self.comment else ""
        return f"{self.key}{comment} : {self.verdict}" if self.verdict else f"{self.key}{comment}"


@dataclass(frozen=True, slots=True)
class NftSet:
    """A named set, or a map to verdicts.

    `timeout_s`: rules add elements while packets flow, and an element stays for so many seconds (0: they do not).
    """

    name: str
    type: str
    comment: str = ""
    elements: tuple[Element, ...] = ()
    kind: Literal["set", "map"] = "set"
    timeout_s: int = 0

    def lines(self) -> Iterator[str]:
        """Yield the set as `nft -f` reads it inside a table."""
        yield f"\t{self.kind} {self.name} {{"
        yield f"\t\ttype {self.type}{' : verdict' if self.kind == 'map' else ''}"
        if self.timeout_s:
            yield "\t\tflags dynamic,timeout"
            yield f"\t\ttimeout {self.timeout_s:d}s"
        if self.comment:
            yield f'\t\tcomment "{self.comment}"'
        if self.elements:
            yield "\t\telements = {"
            yield ",\n".join([f"\t\t\t{element}" for element in self.elements])
            yield "\t\t}"
        yield "\t}"


@dataclass(frozen=True, slots=True)
class Hook:
    """Where a base chain meets packets; lower priorities come first (nft(8), "standard priority names")."""

    type: Literal["filter", "nat"]
    hook: Literal["prerouting", "input", "forward", "output", "postrouting"]
    priority: int


@dataclass(frozen=True, slots=True)
class NftChain:
    """A chain and its rules, in order; a base chain has a `hook`, and accepts what no rule decides."""

    name: str
    rules: tuple[str, ...] = ()
    owner: str = ""
    hook: Hook | None = None
    comment: str = ""

    def lines(self) -> Iterator[str]:
        """Yield the chain as `nft -f` reads it inside a table."""
        yield f"\tchain {self.name} {{"
        if self.comment:
            yield f'\t\tcomment "{self.comment}"'
        if self.hook:
            hook = self.hook  # the priority is a number, since nft 1.0.6 takes some names on some hooks only
            yield f"\t\ttype {hook.type} hook {hook.hook} priority {hook.priority:d}; policy accept;"
        for rule in self.rules:
            yield f"\t\t{rule}"
        yield "\t}"


@dataclass(frozen=True, slots=True)
class NftServiceRules:
    """What one service port adds to a ruleset: its own chains and sets, and elements of sets that all share.

    The unit of a partial sync: it depends on nothing but its service port and the proxy's configuration.
    """

    owner: str
    chains: tuple[NftChain, ...]
    sets: tuple[NftSet, ...]
    elements: tuple[tuple[str, Element], ...]


@dataclass(frozen=True, slots=True)
class NftRuleset:
    """All rules of one family on one node: the table `ip kube-proxy` or `ip6 kube-proxy`."""

    family: Family
    sets: tuple[NftSet, ...]
    chains: tuple[NftChain, ...]
    comment: str = ""

    def restore_text(self) -> str:
        """Return complete input for `nft -f` on a clean node."""
        return "".join([f"{line}\n" for line in self._lines()])

    def _lines(self) -> Iterator[str]:
        yield f"table {TABLE_FAMILY[self.family]} {TABLE} {{"
        if self.comment:
            yield f'\tcomment "{self.comment}"'
        for one in self.sets:
            yield from one.lines()
        for chain in self.chains:
            yield from chain.lines()
        yield "}"

    def set(self, name: str) -> NftSet | None:
        """Return a set or map by its name, None when there is none."""
        return next((one for one in self.sets if one.name == name), None)

    def chain(self, name: str) -> NftChain | None:
        """Return a chain by its name, None when there is none."""
        return next((chain for chain in self.chains if chain.name == name), None)


def gather_elements(elements: Iterable[tuple[str, Element]]) -> dict[str, dict[str, Element]]:
    """Return the elements of each shared set by their keys, in the order given; the first one of a key stays.

    Service ports share a ClusterIP, or an endpoint; two that claim the same address and port cannot both have it.
    """
    found: dict[str, dict[str, Element]] = {}
    for name, element in elements:
        found.setdefault(name, {}).setdefault(element.key, element)
    return found
