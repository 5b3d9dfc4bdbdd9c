"""The rules that a kernel holds, put into the order in which a packet meets them: of one Service, or the fixed ones."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from lab.model.flow import Flow
from lab.model.installed import Line
from lab.model.netfilter import HOOKS, Chain, Container, Decide, Dnat, Draw, Lookup, Rule, Table, Verdict
from lab.model.nft_ruleset import NftServiceRules
from lab.model.ruleset import ServiceRules
from lab.proxy.tally import UNCOUNTED, Counts, Socket, Tally, tally

_OF_A_SERVICE = re.compile(r"KUBE-(SVC|SVL|EXT|FW|SEP|XLB)-|.*/")  # iptables' names; nft's have the Service's in them


@dataclass(frozen=True, slots=True)
class Wanted:
    """What tells a Service's rules apart: its own chains, and the names of its ports as comments begin with them."""

    chains: frozenset[str]
    names: frozenset[str]


def wanted(parts: Iterable[ServiceRules | NftServiceRules], names: Iterable[str]) -> Wanted:
    """Return what to look for, from the rules of a Service's ports and these ports' names (`default/web:http`)."""
    return Wanted(frozenset(chain.name for part in parts for chain in part.chains), frozenset(names))


def lines(tables: Sequence[Table], service: Wanted | None, flows: Sequence[Flow] = ()) -> tuple[Line, ...]:
    """Return chains, rules and elements, hook by hook; `service` None leaves out what is a Service's own.

    A chain stands behind the first rule that leads to it, once. Other people's rules are left out. Where nothing counts
    packets (in nftables mode) the node's `flows` do.
    """
    own = service.chains if service else None
    walks = [(table, _Walk(table, service, None if table.iptables else tally(table, flows, own))) for table in tables]
    hooked = [(chain, walk) for table, walk in walks for chain in table.chains.values() if chain.hook]
    hooked.sort(key=lambda place: (HOOKS.index(place[0].hook or "PREROUTING"), place[0].priority))
    return tuple(line for chain, walk in hooked for line in walk.chain(chain, 0))


@dataclass(slots=True)
class _Walk:
    """A way through one table; `shown` are the chains that were, `ways` those of them that lead to the Service's."""

    table: Table
    service: Wanted | None
    tally: Tally | None
    shown: set[str] = field(default_factory=set)
    ways: set[str] = field(default_factory=set)

    def chain(self, chain: Chain, depth: int, *, inside: bool = False) -> list[Line]:
        """Return a chain with what it leads to, or nothing; `inside`: one that is shown whole led here."""
        if chain.name in self.shown:
            return []
        self.shown.add(chain.name)
        whole = inside or self._whole(chain)
        found = [line for rule in chain.rules for line in self._rule(chain.name, rule, depth + 1, whole=whole)]
        if not found and not whole:
            self.shown.discard(chain.name)
            return []
        if not inside:
            self.ways.add(chain.name)
        return [Line("chain", depth, self.table.name, chain.name), *found]

    def _whole(self, chain: Chain) -> bool:
        """Return whether all of a chain is to be shown: it is the Service's, or, if none is meant, kube-proxy's."""
        if self.service is not None:
            return chain.name in self.service.chains
        return not self.table.iptables or chain.name.startswith("KUBE-")

    def _rule(self, chain: str, rule: Rule, depth: int, *, whole: bool) -> list[Line]:
        """Return a rule, the elements that it looks up, and the chains behind, or nothing."""
        targets = list(_targets(rule))
        known = any(verdict.target in self.ways for verdict in targets)
        below = [line for verdict in targets for line in self._behind(verdict, depth + 1, inside=whole)]
        below += self._elements(chain, rule, depth + 1)
        ends = ["", *(verdict.target for verdict in targets)]  # a refusal leads nowhere
        about = self.service is not None and any(self._matters(target, rule.comment) for target in ends)
        if not (whole or below or known or about):
            return []
        counted: Counts = (rule.packets, rule.octets)
        endpoints = list(_endpoints(rule))
        if self.tally and endpoints:
            counted = self.tally.of_endpoints(endpoints)
            below += self._endpoints(chain, endpoints, depth + 1)
        leads = tuple(verdict.target for verdict in targets if verdict.target)
        packets, octets = counted
        return [Line("rule", depth, self.table.name, chain, rule.text, packets, octets, rule, leads), *below]

    def _elements(self, chain: str, rule: Rule, depth: int) -> Iterator[Line]:
        """Yield the elements that matter of the maps that a rule looks up, and the chains behind them."""
        for container, key, verdict in _elements(rule, self.table):
            if self._matters(verdict.target, verdict.comment):
                text = f"{key} : {verdict.kind}{f' {verdict.target}' if verdict.target else ''}"
                packets, octets = self.tally.of_element(container, key) if self.tally else UNCOUNTED
                leads = (verdict.target,) if verdict.target else ()
                yield Line("element", depth, self.table.name, chain, text, packets, octets, None, leads)
                yield from self._behind(verdict, depth + 1, inside=False)

    def _endpoints(self, chain: str, endpoints: Sequence[Socket], depth: int) -> Iterator[Line]:
        """Yield the endpoints among which a rule chooses, each with its own count; of one the rule's is all."""
        if self.tally and len(endpoints) > 1:
            for address, port in endpoints:
                counted = self.tally.of_endpoints([(address, port)])
                yield Line("endpoint", depth, self.table.name, chain, f"{address} . {port}", *counted)

    def _behind(self, verdict: Verdict, depth: int, *, inside: bool) -> list[Line]:
        chain = self.table.chains.get(verdict.target)
        own = self.service.chains if self.service else ()
        if chain is None or (chain.name not in own and _OF_A_SERVICE.match(chain.name)):
            return []  # what is another Service's leads nowhere else
        return self.chain(chain, depth, inside=inside)

    def _matters(self, target: str, comment: str) -> bool:
        """Return whether something leads to a chain of the Service, or its comment names one of its ports."""
        if self.service is None:
            return True
        return target in self.service.chains or comment.split(" ", maxsplit=1)[0] in self.service.names


def _targets(rule: Rule) -> Iterator[Verdict]:
    for statement in rule.statements:
        if isinstance(statement, Decide):
            yield statement.verdict
        elif isinstance(statement, Draw):
            yield from statement.choices.values()


def _endpoints(rule: Rule) -> Iterator[Socket]:
    """Yield the endpoints among which a rule chooses."""
    for statement in rule.statements:
        if isinstance(statement, Dnat):
            yield from dict.fromkeys(statement.choices.values())


def _elements(rule: Rule, table: Table) -> Iterator[tuple[str, str, Verdict]]:
    """Yield the elements of the maps that a rule looks up: the map's name, the key as nft prints it, the verdict."""
    for statement in rule.statements:
        if isinstance(statement, Lookup) and statement.verdict:
            found = statement.container
            container = found if isinstance(found, Container) else table.containers.get(found)
            every = (*container.exact.items(), *container.wide) if container else ()
            for key, verdict in every:
                if container is not None and verdict is not None:
                    yield container.name, " . ".join(map(str, key)), verdict
