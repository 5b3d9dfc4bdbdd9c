"""The rules that a kernel holds, put into the order in which a packet meets them: of one Service, or the fixed ones."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from lab.model.installed import Line
from lab.model.netfilter import HOOKS, Chain, Container, Decide, Draw, Lookup, Rule, Table, Verdict
from lab.model.nft_ruleset import NftServiceRules
from lab.model.ruleset import ServiceRules

_OF_A_SERVICE = re.compile(r"KUBE-(SVC|SVL|EXT|FW|SEP|XLB)-|.*/")  # iptables' names; nft's have the Service's in them


@dataclass(frozen=True, slots=True)
class Wanted:
    """What tells a Service's rules apart: its own chains, and the names of its ports as comments begin with them."""

    chains: frozenset[str]
    names: frozenset[str]


def wanted(parts: Iterable[ServiceRules | NftServiceRules], names: Iterable[str]) -> Wanted:
    """Return what to look for, from the rules of a Service's ports and these ports' names (`default/web:http`)."""
    return Wanted(frozenset(chain.name for part in parts for chain in part.chains), frozenset(names))


def lines(tables: Sequence[Table], service: Wanted | None) -> tuple[Line, ...]:
    """Return chains, rules and elements, hook by hook; `service` None leaves out what is a Service's own.

    A chain stands behind the first rule that leads to it, once. Other people's rules are left out.
    """
    walks = [(table, _Walk(table, service)) for table in tables]
    hooked = [(chain, walk) for table, walk in walks for chain in table.chains.values() if chain.hook]
    hooked.sort(key=lambda place: (HOOKS.index(place[0].hook or "PREROUTING"), place[0].priority))
    return tuple(line for chain, walk in hooked for line in walk.chain(chain, 0))


@dataclass(slots=True)
class _Walk:
    """A way through one table; `shown` are the chains that were."""

    table: Table
    service: Wanted | None
    shown: set[str] = field(default_factory=set)

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
        return [Line("chain", depth, self.table.name, chain.name), *found]

    def _whole(self, chain: Chain) -> bool:
        """Return whether all of a chain is to be shown: it is the Service's, or, if none is meant, kube-proxy's."""
        if self.service is not None:
            return chain.name in self.service.chains
        return not self.table.iptables or chain.name.startswith("KUBE-")

    def _rule(self, chain: str, rule: Rule, depth: int, *, whole: bool) -> list[Line]:
        """Return a rule, the elements that it looks up, and the chains behind, or nothing."""
        targets = list(_targets(rule))
        known = any(verdict.target in self.shown for verdict in targets)
        below = [line for verdict in targets for line in self._behind(verdict, depth + 1, inside=whole)]
        for element, verdict in _elements(rule, self.table):
            if self._matters(verdict.target, verdict.comment):
                below.append(Line("element", depth + 1, self.table.name, chain, element))
                below += self._behind(verdict, depth + 2, inside=False)
        about = self.service is not None and any(self._matters(one.target, rule.comment) for one in targets)
        if not (whole or below or known or about):
            return []
        return [Line("rule", depth, self.table.name, chain, rule.text, rule.packets, rule.octets), *below]

    def _behind(self, verdict: Verdict, depth: int, *, inside: bool) -> list[Line]:
        chain = self.table.chains.get(verdict.target)
        if chain is None or (self.service is None and _OF_A_SERVICE.match(chain.name)):
            return []
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


def _elements(rule: Rule, table: Table) -> Iterator[tuple[str, Verdict]]:
    """Yield the elements of the maps that a rule looks up, as nft prints them."""
    for statement in rule.statements:
        if isinstance(statement, Lookup) and statement.verdict:
            found = statement.container
            container = found if isinstance(found, Container) else table.containers.get(found)
            every = (*container.exact.items(), *container.wide) if container else ()
            for key, verdict in every:
                if verdict is not None:
                    words = " . ".join(map(str, key))
                    yield f"{words} : {verdict.kind}{f' {verdict.target}' if verdict.target else ''}", verdict
