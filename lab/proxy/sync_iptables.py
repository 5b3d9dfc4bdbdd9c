"""Transactions for iptables-restore --noflush: from the rules that are there to those that are wanted.

kube-proxy writes KUBE-SERVICES and the other chains that all Services share anew at every sync, which sets all their
counters to zero (pkg/proxy/iptables/proxier.go). Here a shared chain loses the rules that are no longer wanted and gets
the new ones at its head, where their order means nothing; every other rule keeps its place and its counters.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from lab.model.ruleset import BUILT_IN, Place, Ruleset, ServiceRules, TableName, gather
from lab.proxy.iptables_words import EXTERNALLY_UNSERVED, FIREWALL, HEALTH, MARK_MASQ, NODE_PORTS, SERVICES, UNSERVED

SHARED = frozenset({SERVICES, NODE_PORTS, UNSERVED, EXTERNALLY_UNSERVED, FIREWALL, HEALTH})
"""The chains with rules of every Service; their order is free, and random where kube-proxy makes them."""

KUBELETS = frozenset({"KUBE-KUBELET-CANARY", "KUBE-IPTABLES-HINT"})
"""Chains that are kubelet's, not kube-proxy's."""

LONG = 100
"""Rules of a chain that may not fit a transaction of an ordinary user, with what else is said in it."""

TABLES: tuple[TableName, ...] = ("mangle", "filter", "nat")

_TO_NODE_PORTS = "-j KUBE-NODEPORTS"
_TO_ENDPOINT = "-j KUBE-SEP-"
_ABOUT = re.compile(r'--comment "([^ "]+)')
_TARGET = re.compile(r"(?:^| )-[jg] (\S+)")

Rules = Mapping[Place, Sequence[str]]


@dataclass(slots=True)
class _Table:
    """What a transaction does in one table, in the order of the fields.

    Where it has to be split (`lab.kernel.rules.parts`) this order keeps every Service whole: new rules are there before
    old ones go. Only a rule that gets another place (`move`) has to go first: rules are deleted by their text.
    """

    declare: list[str] = field(default_factory=list)
    fill: list[str] = field(default_factory=list)
    move: list[str] = field(default_factory=list)
    give: list[str] = field(default_factory=list)
    take: list[str] = field(default_factory=list)
    drop: list[str] = field(default_factory=list)

    def write(self, chain: str, rules: Iterable[str]) -> None:
        """Make a chain that has these rules and no others, whether or not it is there."""
        self.declare.append(f":{chain} - [0:0]\n")
        self.fill += [f"-A {chain} {rule}\n" for rule in rules]

    def remove(self, chain: str) -> None:
        """Empty a chain and delete it, when nothing jumps there any more."""
        self.declare.append(f":{chain} - [0:0]\n")
        self.drop.append(f"-X {chain}\n")

    def rewrite(self, chain: str, old: int, rules: Sequence[str]) -> None:
        """Put rules before the `old` ones of a chain, the last one first, and then take the old ones away.

        So many rules may have to be loaded in parts: from the first part on the chain leads to an endpoint, for the
        last of its rules always matches, and what comes before the choice of an endpoint stands at the head.
        """
        choice = next((number for number, rule in enumerate(rules) if _TO_ENDPOINT in rule), len(rules))
        self.give += [f"-I {chain} {number} {rule}\n" for number, rule in enumerate(rules[:choice], 1)]
        self.give += [f"-I {chain} {choice + 1} {rule}\n" for rule in reversed(rules[choice:])]
        self.take += [f"-D {chain} {len(rules) + 1}\n"] * old

    def edit(self, chain: str, gone: Sequence[str], first: Sequence[str], last: Sequence[str] = ()) -> None:
        """Delete rules of a chain, put others at its head (in the order given), and others at its end."""
        moved = Counter(gone) & Counter((*first, *last))
        self.move += [f"-D {chain} {rule}\n" for rule in moved.elements()]
        self.give += [f"-I {chain} 1 {rule}\n" for rule in reversed(first)]
        self.give += [f"-A {chain} {rule}\n" for rule in last]
        self.take += [f"-D {chain} {rule}\n" for rule in (Counter(gone) - moved).elements()]

    def lines(self) -> list[str]:
        return [*self.declare, *self.fill, *self.move, *self.give, *self.take, *self.drop]


def changes(old: Ruleset, new: Ruleset) -> str:
    """Return what turns `old` into `new` and leaves every rule that is in both alone; "" if nothing changes."""
    return _text(_edits(_rules(old), _rules(new)))


def part_changes(old: Iterable[ServiceRules], new: Iterable[ServiceRules]) -> str:
    """Return what `changes` would for two rulesets that differ in these service ports alone.

    Service ports with equal rules on both sides may be left out: this is the same change at a fraction of the price.
    """
    return _text(_edits(_part_rules(old), _part_rules(new)))


def full(new: Ruleset, held: Ruleset) -> str:
    """Return what makes the kernel hold `new` whatever it holds now: every chain of `new` is written anew.

    `held` says which of our jumps the built-in chains lack (they are put at the head, as kube-proxy does), and which
    KUBE- chains nobody wants. One of these that somebody else's rule jumps to is emptied and stays, for the kernel
    would refuse to delete it. Rules outside of KUBE- chains stay as they are.
    """
    tables = {name: _Table() for name in TABLES}
    wanted, there = _rules(new), _rules(held)
    used = _used_by_others(there, wanted)
    for (table, chain), rules in wanted.items():
        if chain in BUILT_IN:
            tables[table].edit(chain, (), _missing(there.get((table, chain), ()), rules))
        else:
            tables[table].write(chain, rules)
    for table, chain in _stale(there, wanted):
        if (table, chain) in used:
            tables[table].write(chain, ())
        else:
            tables[table].remove(chain)
    return _text(tables)


def repair(new: Ruleset, held: Ruleset) -> str:
    """Return what makes the kernel hold `new`, as `full` does, but leaves alone what is as it is wanted."""
    wanted, there = _rules(new), _rules(held)
    used = _used_by_others(there, wanted)
    for place, rules in there.items():
        if place[1] in BUILT_IN:  # other people's rules are none of our business
            ours = set(wanted.get(place, ()))
            there[place] = [rule for rule in rules if rule in ours]
    return _text(_edits(there, wanted, keep=used))


def _rules(ruleset: Ruleset) -> dict[Place, Sequence[str]]:
    return {place: chain.rules for place, chain in ruleset.chains()}


def _part_rules(parts: Iterable[ServiceRules]) -> dict[Place, Sequence[str]]:
    """Return the parts' chains, and their rules in shared chains, which are there whether or not a part has any."""
    parts = list(parts)
    found: dict[Place, Sequence[str]] = dict.fromkeys(SHARED, ())
    found.update(gather(rule for part in parts for rule in part.shared))
    found.update({("nat", chain.name): chain.rules for part in parts for chain in part.chains})
    return found


def _edits(old: Rules, new: Rules, keep: Collection[Place] = ()) -> dict[TableName, _Table]:
    """Return what is to be done in each table; a stale chain in `keep` is only emptied."""
    tables = {name: _Table() for name in TABLES}
    for place, rules in new.items():
        table, chain = place
        there = old.get(place)
        if rules == there:
            continue
        if chain in BUILT_IN:
            tables[table].edit(chain, _missing(rules, there or ()), _missing(there or (), rules))
        elif there is not None and place in SHARED:
            tables[table].edit(chain, *_difference(there, rules))
        elif there and max(len(there), len(rules)) > LONG:
            tables[table].rewrite(chain, len(there), rules)
        else:
            tables[table].write(chain, rules)
    for table, chain in _stale(old, new):
        if (table, chain) in keep:
            tables[table].write(chain, ())
        else:
            tables[table].remove(chain)
    return tables


def _difference(old: Sequence[str], new: Sequence[str]) -> tuple[list[str], list[str], list[str]]:
    """Return the rules to delete, those to put at the head, and those to put at the end of a shared chain."""
    gone, added = Counter(old), Counter(new)
    gone.subtract(new)
    added.subtract(old)
    again = set(_marks_before(new, {_about(rule) for rule, number in added.items() if number > 0}))
    if not ends_well(old):
        again |= {rule for rule in old if rule.endswith(_TO_NODE_PORTS)}
    wanted = set(new)
    for rule in again:
        gone[rule] = old.count(rule)
        added[rule] = new.count(rule) if rule in wanted else 0
    take = [rule for rule, number in gone.items() for _ in range(number)]
    give = []
    for rule in new:
        if added[rule] > 0:
            added[rule] -= 1
            give.append(rule)
    last = [rule for rule in give if rule.endswith(_TO_NODE_PORTS)]
    return take, [rule for rule in give if not rule.endswith(_TO_NODE_PORTS)], last


def _marks_before(rules: Iterable[str], about: set[str]) -> Iterator[str]:
    """Yield the rules that mark what new rules of the same service port, put at the head, would take away from them.

    Until 1.22 a shared chain had such pairs: first a mark, then the jump.
    """
    return (rule for rule in rules if rule.endswith(MARK_MASQ) and _about(rule) in about)


def _about(rule: str) -> str:
    """Return the service port that a rule's comment begins with."""
    found = _ABOUT.search(rule)
    return found[1] if found else ""


def ends_well(rules: Sequence[str]) -> bool:
    """Return whether the jumps to KUBE-NODEPORTS come after all other rules."""
    number = sum(rule.endswith(_TO_NODE_PORTS) for rule in rules)
    return all(rule.endswith(_TO_NODE_PORTS) for rule in rules[len(rules) - number :])


def _missing(there: Sequence[str], wanted: Iterable[str]) -> list[str]:
    held = set(there)
    return [rule for rule in wanted if rule not in held]


def _stale(there: Rules, wanted: Rules) -> Iterator[Place]:
    """Yield the KUBE- chains that are there and not wanted."""
    for table, chain in there:
        ours = chain.startswith("KUBE-") and chain not in KUBELETS
        if ours and (table, chain) not in wanted and table in TABLES:
            yield table, chain


def _used_by_others(there: Rules, wanted: Rules) -> set[Place]:
    """Return the chains that rules outside of KUBE- chains jump to, our own jumps apart."""
    used: set[Place] = set()
    for (table, chain), rules in there.items():
        if not chain.startswith("KUBE-") or chain in KUBELETS:
            ours = set(wanted.get((table, chain), ()))
            used.update((table, target[1]) for rule in rules if rule not in ours and (target := _TARGET.search(rule)))
    return used


def _text(tables: Mapping[TableName, _Table]) -> str:
    found = [(name, table.lines()) for name, table in tables.items()]
    return "".join([f"*{name}\n{''.join(lines)}COMMIT\n" for name, lines in found if lines])
