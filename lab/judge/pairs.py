"""A way that the walk tells, and what the kernel showed of one: rule beside rule."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from difflib import SequenceMatcher
from itertools import product
from typing import TYPE_CHECKING

from lab import words
from lab.model.netfilter import HOOKS, Hook
from lab.model.predicted import Pair
from lab.proxy.walk import title

if TYPE_CHECKING:
    from lab.model import journey, walk
    from lab.model.flow import Tuple
    from lab.model.netfilter import Table
    from lab.model.trace import Tool
    from lab.model.walk import Vantage, Way

Key = tuple[str, str, int]
"""Table, chain and number of a rule; the number 0 is the chain's policy."""

Shown = tuple[Key, "journey.Step"]


def shown(steps: Sequence[journey.Step], tables: Sequence[Table], usual: Tool) -> list[Shown]:
    """Return the rules and policies that the kernel showed, but for the policy of a chain that has no rule.

    `tables`: those of tools other than `usual` are called as such (`lab.model.journey.whose`).
    """
    known = {(table.family, table.name): table for table in tables}
    found: list[Shown] = []
    for step in steps:
        if step.kind not in ("rule", "verdict") or not step.chain:
            continue
        name = f"{step.whose(usual)}{step.table}"
        table = known.get((step.family, name))
        chain = table.chains.get(step.chain) if table else None
        if step.kind == "verdict" and step.verdict != "drop" and not (chain and chain.rules):
            continue
        named = title(table) if table else f"{step.family} {name}"
        found.append(((named, step.chain, step.number), step))
    return found


def ordered(tables: Sequence[Table], steps: Sequence[journey.Step], usual: Tool) -> tuple[Table, ...]:
    """Return tables in the order in which the packet met those of their chains that have the same hook and priority.

    The kernel calls the one first that was made last (nf_hook_entries_grow), of which nothing else tells.
    """
    met: dict[tuple[Hook | None, str, str, str], int] = {}
    for at, step in enumerate(steps):
        met.setdefault((step.hook, step.family, f"{step.whose(usual)}{step.table}", step.chain), at)

    def before(one: Table, other: Table) -> bool:
        for mine, its in product(bases[id(one)], bases[id(other)]):
            if (mine.hook, mine.priority) == (its.hook, its.priority):
                first = met.get((mine.hook, one.family, one.name, mine.name))
                second = met.get((its.hook, other.family, other.name, its.name))
                if first is not None and (second is None or first < second):
                    return True
        return False

    bases = {id(table): [chain for chain in table.chains.values() if chain.hook] for table in tables}
    left, found = list(tables), []
    while left:
        one = next((one for one in left if not any(before(other, one) for other in left if other is not one)), left[0])
        left.remove(one)
        found.append(one)
    return tuple(found)


def best(
    ways: Sequence[Way], seen: Sequence[Shown], vantage: Vantage, *, end: Tuple, until: Hook | None = None
) -> tuple[Way, tuple[Pair, ...]]:
    """Return the way that differs least from what was seen, and the two beside each other.

    `end`: what the packet looked like at last; `until`: the hook in which it was lost, if it was.
    """
    alike = [way for way in ways if (way.fate.destination, way.fate.port) == (end.dst, end.dport) or _where(way)]
    tried = ((way, pairs(way, seen, vantage, until=until)) for way in alike or ways)

    def apart(one: tuple[Way, tuple[Pair, ...]]) -> tuple[int, bool]:
        return sum(bool(pair.difference) for pair in one[1]), bool(_where(one[0]))

    return min(tried, key=apart)


def _where(way: Way) -> Key | None:
    """Return the rule at which a way ends because nobody knows what it does, None if it does not."""
    last = way.steps[-1] if way.fate.kind == "unknown" else None
    return (last.table, last.chain, last.number) if last else None


def unknown(way: Way, both: Sequence[Pair]) -> Pair | None:
    """Return the pair of the rule at which a way ends because nobody knows what it does; None if it was not met."""
    place = _where(way)
    return next((one for one in both if one.observed and (one.table, one.chain, one.number) == place), None)


def pairs(way: Way, seen: Sequence[Shown], vantage: Vantage, *, until: Hook | None = None) -> tuple[Pair, ...]:
    """Return what is expected on a way beside what was seen, in their order.

    Behind a rule that nobody knows, where the way ends, nothing is expected, and nothing compared.
    """
    met = [((step.table, step.chain, step.number), step) for step in way.steps if step.chain]
    expected = [(key, step) for key, step in met if step.matched is not False]
    refused = {key: step.why for key, step in met if step.matched is False}
    known = next((at for at, (key, _) in enumerate(seen, 1) if key == _where(way)), len(seen))
    seen = seen[:known]
    matcher = SequenceMatcher(None, [key for key, _ in expected], [key for key, _ in seen], autojunk=False)
    found: list[Pair] = []
    for tag, begin, end, first, last in matcher.get_opcodes():
        if tag == "equal":
            both = zip(expected[begin:end], seen[first:last], strict=True)
            for (key, ours), (_, its) in both:
                apart = () if key == _where(way) else _apart(ours, its, vantage)
                found.append(_pair(key, ours, its, "; ".join(apart)))
            continue
        found += [_missing(key, ours, until) for key, ours in expected[begin:end] if ours.matched]
        found += [
            _pair(key, None, its, f"not expected: {refused.get(key, 'no rule leads there')}")
            for key, its in seen[first:last]
        ]
    return tuple(found)


def _pair(key: Key, ours: walk.Step | None, its: journey.Step | None, difference: str) -> Pair:
    table, chain, number = key
    hook = its.hook if its else ours.hook if ours and ours.hook != "ROUTING" else None
    return Pair(hook=hook, table=table, chain=chain, number=number, predicted=ours, observed=its, difference=difference)


def _missing(key: Key, ours: walk.Step, until: Hook | None) -> Pair:
    """Return a rule that only the walk has: the kernel did not show it, or the packet did not come so far."""
    pair = _pair(key, ours, None, "the kernel did not show it")
    if until and pair.hook and HOOKS.index(pair.hook) > HOOKS.index(until):
        return replace(pair, difference="", reached=False)
    return pair


def _apart(ours: walk.Step, its: journey.Step, vantage: Vantage) -> Iterator[str]:
    """Yield where the two do not agree on what a rule did."""
    if its.verdict and ours.verdict and its.verdict != ours.verdict:
        yield f"expected {ours.verdict}, it was {its.verdict}"
    for what, wanted, mark in (
        ("before", ours.before.mark, its.mark_before),
        ("behind", ours.after.mark, its.mark_after),
    ):
        if mark is not None and mark != wanted:
            yield f"expected the mark {wanted:#x} {what} it, it was {mark:#x}"
    there, wanted_end = its.after, (ours.after.destination, ours.after.destination_port)
    if (there.dst, there.dport) != wanted_end:
        yield f"expected to {words.socket(*wanted_end)}, it was to {words.socket(there.dst, there.dport)}"
    yield from _source_apart(ours, its, vantage)


def _source_apart(ours: walk.Step, its: journey.Step, vantage: Vantage) -> Iterator[str]:
    wanted = ours.after.new_source if ours.after.masqueraded else ours.after.source
    source = its.after.src
    if wanted is None and not vantage.is_local(source):
        yield f"expected a source of {vantage.name}'s own, it was {source}"
    elif wanted is not None and source != wanted:
        yield f"expected the source {wanted}, it was {source}"
