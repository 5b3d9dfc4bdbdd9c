"""Which rule of a listing an event is of, at which hook a chain is, and to which Service they belong."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lab.errors import LabError
from lab.journey.sight import is_own
from lab.model.netfilter import HOOKS, IPTABLES
from lab.parse import saved_rules
from lab.proxy.names import service_of_chain, service_of_comment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from lab.model.netfilter import Chain, Hook, Rule, Table
    from lab.model.trace import Event, Listing, Tool

_FAMILIES = {"ipv4": "ip", "ipv6": "ip6"}
_Key = tuple[bool, str, str]
"""A table: whether it is iptables-legacy's (whose are called as iptables-nft's are), its family and name."""


@dataclass(frozen=True, slots=True)
class _Listed:
    """A table as a listing has it, and the handles of its chains' rules."""

    table: Table
    handles: Mapping[tuple[str, str, str], tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Found:
    """What the listing has of an event: its rule (None if it is not there), the rule's number from 1, its chain."""

    rule: Rule | None = None
    number: int = 0
    chain: Chain | None = None
    table: Table | None = None


@dataclass(slots=True)
class Book:
    """The rules of all namespaces; a listing is read when one of its rules is asked for."""

    listings: Sequence[Listing]
    _tables: dict[str, dict[_Key, _Listed]] = field(default_factory=dict)

    def find(self, event: Event) -> Found:
        """Return what the listing has of an event's rule, or of its chain if the event is the end of one."""
        listed = self._of(event.netns).get(_key(event))
        if listed is None:
            return Found(number=event.number)
        chain = listed.table.chains.get(event.chain)
        if chain is None or event.kind != "rule":
            return Found(None, 0, chain, listed.table)
        handles = listed.handles.get((event.family, event.table, event.chain), ())
        number = handles.index(event.handle) + 1 if event.handle in handles else event.number
        return Found(_rule(chain, number), number, chain, listed.table)

    def hook(self, event: Event) -> Hook | None:
        """Return the hook that an event's chain is called from, None if rules alone lead there."""
        name = event.chain.partition("-")[0].upper() if is_own(event) else event.chain
        for hook in HOOKS:  # iptables' chains are called after their hooks
            if name == hook:
                return hook
        if is_own(event):
            return None
        listed = self._of(event.netns).get(_key(event))
        chain = listed.table.chains.get(event.chain) if listed else None
        return chain.hook if chain else None

    def has_hook(self, netns: str, hook: Hook) -> bool:
        """Return whether a namespace's rules have a chain that is called from a hook."""
        return any(chain.hook == hook for listed in self._of(netns).values() for chain in listed.table.chains.values())

    def _of(self, netns: str) -> dict[_Key, _Listed]:
        if netns not in self._tables:
            ordered = sorted(self.listings, key=lambda one: one.tool != "nft")  # nft lists others' tables in part
            self._tables[netns] = {
                place: listed for listing in ordered if listing.netns == netns for place, listed in _read(listing)
            }
        return self._tables[netns]


def _key(event: Event) -> _Key:
    return (event.marked_before, event.family, event.table)


def _read(listing: Listing) -> Iterator[tuple[_Key, _Listed]]:
    """Yield the tables of a listing; nothing if it cannot be read: the events are there all the same."""
    try:
        tables, _ = saved_rules.read(listing.text, f"rules of {listing.netns}")
    except LabError:
        return
    for table in tables:
        family = _FAMILIES[listing.family] if table.iptables else table.family
        yield (listing.tool == "iptables-legacy", family, table.name), _Listed(table, listing.handles)


def _rule(chain: Chain, number: int) -> Rule | None:
    try:
        return chain.rules[number - 1] if 0 < number <= len(chain.rules) else None
    except LabError:  # one that is not understood
        return None


def tool_of(event: Event, found: Found) -> Tool:
    """Return whose rule an event is of."""
    if event.marked_before:
        return "iptables-legacy"
    if found.table is not None:
        return "iptables-nft" if found.table.iptables else "nft"
    return "iptables-nft" if event.family in ("ip", "ip6") and event.table in IPTABLES else "nft"


def service_of(event: Event, rule: Rule | None) -> str:
    """Return the service port (`namespace/name:port`) that a rule's comment or a chain's name tells, else ""."""
    told = service_of_comment(rule.comment) if rule else ""
    return told or service_of_chain(event.chain) or service_of_chain(event.target)
