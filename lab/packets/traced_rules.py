"""The rules that a trace meets: in which namespaces, their listings, and whether they stayed the same."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from lab.ask.ports import PROTOCOLS
from lab.kernel import legacy, listing, netns, nf_tables, trace, trace_table
from lab.model.address import family_of
from lab.model.trace import OWN_TABLE, Event, Listing

if TYPE_CHECKING:
    from lab.model.trace import Job

_LEGACY = ("filter", "mangle", "nat")  # the tables that a lab's own rules are in
_FAMILIES = {4: 2, 6: 10}  # AF_INET, AF_INET6


class Rules:
    """The rules in a capsule's namespaces; `watches`: by namespace, what of them to trace."""

    def __init__(self, job: Job) -> None:
        """Look which namespaces have rules."""
        self._job = job
        self._family = family_of(job.request.address)
        self._kin = "ip" if self._family == "ipv4" else "ip6"
        self.watches = {name: watch for name in job.places if (watch := self._watch(name))}
        self._legacy = {name: self._legacy_tables(name) for name in self.watches}
        self._generations: dict[str, tuple[int, *tuple[bytes, ...]]] = {}

    def note(self) -> None:
        """Note what the rules are like; the tables that ask for the trace must be there already."""
        self._generations = {name: self._generation(name) for name in self.watches}

    def listings(self, told: Sequence[Event]) -> Iterator[Listing]:
        """Yield the rules of the tables that the events `told` are of, and of all others there that are wanted."""
        seen = dict.fromkeys(
            listing.Table(netns=one.netns, family=one.family, name=one.table, legacy=one.marked_before)
            for one in told
            if one.table != OWN_TABLE
        )
        if self._job.whole:
            seen |= dict.fromkeys(table for name in _visited(told) for table in self._tables(name))
        found = listing.listed(list(seen))
        steady = {name: self._steady(name) for name in {one.netns for one in found}}
        for one in found:
            yield Listing(
                netns=one.netns,
                tool=one.tool,
                family=self._family,
                text=one.text,
                handles=one.handles,
                steady=steady[one.netns],
            )

    def whole(self, told: Sequence[Event]) -> frozenset[str]:
        """Return the namespaces all of whose tables are in `listings`.

        Of iptables-legacy's those that stayed silent beside others are known to root alone.
        """
        if not self._job.whole:
            return frozenset()
        unknown = {one.netns for one in told if one.marked_before and one.table not in self._legacy[one.netns]}
        return frozenset(_visited(told)) - unknown

    def _watch(self, name: str) -> trace.Watch | None:
        """Return what to trace in a namespace: in a node everything, in others nothing where there are no rules.

        Replies are known by conntrack, which must not begin where there is none: only a node with rules has it for
        sure. Of a pod that has rules of iptables-legacy alone only root sees that it has them.
        """
        job = self._job
        node = name in job.nodes
        log: trace.Log = "yes" if self._is_legacy(name) else trace.log_of(name, (self._kin,))
        ruled = log == "yes" or bool(_nft_tables(name))
        if not (node or ruled):
            return None
        wanted = trace_table.Wanted(
            family=_FAMILIES[job.request.address.version],
            protocol=PROTOCOLS[job.request.protocol],
            ends=tuple((address.packed, port) for address, port in job.ends),
            askers=tuple(address.packed for address in job.askers),
            replies=node and ruled,
        )
        return trace.Watch(wanted=wanted, log=log)

    def _is_legacy(self, name: str) -> bool:
        return name in self._job.nodes and self._job.tool == "iptables-legacy"

    def _legacy_tables(self, name: str) -> tuple[str, ...]:
        """Return the tables of iptables-legacy, as far as they are known."""
        with netns.inside(name):
            known = legacy.tables(self._kin)
        return (_LEGACY if self._is_legacy(name) else ()) if known is None else known

    def _tables(self, name: str) -> Iterator[listing.Table]:
        """Yield the tables of a namespace that a packet of the request may meet."""
        for family, table in _nft_tables(name):
            if family in (self._kin, "inet"):
                yield listing.Table(netns=name, family=family, name=table)
        for table in self._legacy[name]:
            yield listing.Table(netns=name, family=self._kin, name=table, legacy=True)

    def _steady(self, name: str) -> bool:
        """Return whether nobody has changed the rules of a namespace since, beside us, who removed our table."""
        number, *rest = self._generations[name]
        return self._generation(name) == (number + 1, *rest)

    def _generation(self, name: str) -> tuple[int, *tuple[bytes, ...]]:
        return listing.generation(name, self._kin, self._legacy[name])


def _nft_tables(name: str) -> list[tuple[str, str]]:
    """Return family and name of each table of nf_tables but those that ask for traces."""
    with netns.inside(name):
        return [(family, table) for family, table in nf_tables.tables() if not table.startswith(OWN_TABLE)]


def _visited(told: Iterable[Event]) -> Iterator[str]:
    """Yield the namespaces whose rules the packets came to."""
    yield from dict.fromkeys(one.netns for one in told)
