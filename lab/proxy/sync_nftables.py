"""Transactions for nft -f: from the table that is there to the one that is wanted.

A transaction makes new sets, then new chains, fills the chains that changed, moves elements, and then deletes what
nothing leads to any more. kube-proxy waits a second before it deletes a chain, since kernels before 6.2 let go of a
map's reference only after the transaction (knftables' documentation calls it EBUSY on delete); where a kernel refuses,
`without_removals` gives the same transaction in two.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from lab.model.address import Family
from lab.model.nft_ruleset import (
    TABLE,
    TABLE_FAMILY,
    Element,
    NftChain,
    NftRuleset,
    NftServiceRules,
    NftSet,
    gather_elements,
)

LONG = 100
"""Rules of a chain that may not fit a transaction of an ordinary user, with what else is said in it."""

_AT_ONCE = 100  # elements in one command: a few KiB, which fit wherever a transaction may have to be split
_REMOVALS = ("delete chain ", "delete set ", "delete map ")

Elements = Mapping[str, Mapping[str, Element]]


@dataclass(frozen=True, slots=True)
class _State:
    """A table as a transaction sees it; `elements` by set and key."""

    sets: Mapping[str, NftSet]
    chains: Mapping[str, NftChain]
    elements: Elements


def changes(old: NftRuleset, new: NftRuleset) -> str:
    """Return what turns `old` into `new` and leaves everything that is in both alone; "" if nothing changes."""
    return "".join(_lines(new.family, _state(old), _state(new)))


def part_changes(family: Family, old: Iterable[NftServiceRules], new: Iterable[NftServiceRules]) -> str:
    """Return what `changes` would for two tables that differ in these service ports alone.

    Service ports that are equal on both sides may be left out, unless they share an element with one that is not.
    """
    return "".join(_lines(family, _part_state(old), _part_state(new)))


def full(new: NftRuleset, held: NftRuleset | None) -> str:
    """Return what makes the kernel hold `new` whatever the table holds now: every chain is written anew.

    Elements that are there stay, as kube-proxy leaves them, and so do the clients that session affinity remembers.
    A table in which a set of ours has another type is made anew.
    """
    if held is None:
        return new.restore_text()
    table = f"table {TABLE_FAMILY[new.family]} {TABLE}"
    there, wanted = _state(held), _state(new)
    if any(_reshaped(name, there, wanted) for name in wanted.sets):
        return f"add {table}\ndelete {table}\n{new.restore_text()}"
    return "".join(_lines(new.family, there, wanted, anew=True))


def without_removals(text: str) -> tuple[str, str]:
    """Return a transaction without the deletions at its end, and these: a transaction for later."""
    lines = text.splitlines(keepends=True)
    end = len(lines)
    while end and lines[end - 1].startswith(_REMOVALS):
        end -= 1
    return "".join(lines[:end]), "".join(lines[end:])


def _state(ruleset: NftRuleset) -> _State:
    return _State(
        {one.name: one for one in ruleset.sets},
        {chain.name: chain for chain in ruleset.chains},
        {one.name: {element.key: element for element in one.elements} for one in ruleset.sets if not one.timeout_s},
    )


def _part_state(parts: Iterable[NftServiceRules]) -> _State:
    parts = list(parts)
    return _State(
        {one.name: one for part in parts for one in part.sets},
        {chain.name: chain for part in parts for chain in part.chains},
        gather_elements(element for part in parts for element in part.elements),
    )


def _lines(family: Family, old: _State, new: _State, *, anew: bool = False) -> Iterator[str]:
    """Yield the commands; `anew` writes every chain, changed or not."""
    at = f"{TABLE_FAMILY[family]} {TABLE}"
    reshaped = {name for name in new.sets if _reshaped(name, old, new)}
    rehooked = {
        name for name, chain in new.chains.items() if name in old.chains and old.chains[name].hook != chain.hook
    }
    changed = {name for name, chain in new.chains.items() if anew or _differs(old.chains.get(name), chain, reshaped)}
    yield from (f"flush chain {at} {name}\ndelete chain {at} {name}\n" for name in new.chains if name in rehooked)
    yield from (_make_set(at, one) for name, one in new.sets.items() if name not in old.sets)
    made = [chain for name, chain in new.chains.items() if name not in old.chains or name in rehooked]
    # A base chain meets packets from the moment that it is there: it comes last, with its rules.
    yield from (_make_chain(at, chain) for chain in made if not chain.hook)
    for chain in sorted((chain for name, chain in new.chains.items() if name in changed), key=_hooked):
        if chain.hook and chain in made:
            yield _make_chain(at, chain)
        there = chain.name in old.chains and chain.name not in rehooked
        yield from _write(at, chain, there=there, remade=_uses(chain, reshaped))
    yield from _remake(at, reshaped, old, new)
    lost = reshaped | {name for name in old.sets if name not in new.sets}  # and their elements with them
    yield from _moves(at, {name: held for name, held in old.elements.items() if name not in lost}, new.elements)
    yield from _removals(at, old, new)


def _reshaped(name: str, old: _State, new: _State) -> bool:
    """Return whether a set is there, but of another kind, type or timeout: it has to be deleted and made again."""
    there = old.sets.get(name)
    return there is not None and _shape(there) != _shape(new.sets[name])


def _write(at: str, chain: NftChain, *, there: bool, remade: bool = False) -> Iterator[str]:
    """Yield what gives a chain its rules; of one that uses a set that is made anew no more than can be said before."""
    if remade and _updates(chain):
        return
    if there:
        yield f"flush chain {at} {chain.name}\n"
    yield from _add_rules(at, replace(chain, rules=chain.rules[-1:]) if remade else chain)


def _remake(at: str, sets: Collection[str], old: _State, new: _State) -> Iterator[str]:
    """Yield what makes sets of clients anew, and the rules that use them: nothing may, while one is deleted.

    Where a transaction has to be split every part leaves the Service whole: by now its chains only choose an endpoint
    at random, then each endpoint's set and chain are made anew (which stay together), and then its clients are known.
    """
    users = [chain for chain in old.chains.values() if _uses(chain, sets)]
    for chain in users:
        if chain.name not in new.chains:
            yield from _write(at, chain, there=True, remade=True)
    for one in (one for name, one in new.sets.items() if name in sets):
        own = [chain for chain in users if _updates(chain) and _uses(chain, {one.name})]
        yield from (f"flush chain {at} {chain.name}\n" for chain in own)
        yield f"delete {old.sets[one.name].kind} {at} {one.name}\n"
        yield _make_set(at, one)
        for chain in own:
            yield from _add_rules(at, new.chains.get(chain.name, replace(chain, rules=())))
    for chain in new.chains.values():
        if _uses(chain, sets) and not _updates(chain):
            yield from _insert_rules(at, chain)


def _updates(chain: NftChain) -> bool:
    """Return whether a chain puts clients into a set: it is one endpoint's."""
    return any(rule.startswith("update @") for rule in chain.rules)


def _uses(chain: NftChain, sets: Collection[str]) -> bool:
    return any(f"@{name}" in rule.split() for name in sets for rule in chain.rules)


def _hooked(chain: NftChain) -> bool:
    return chain.hook is not None


def _add_rules(at: str, chain: NftChain) -> Iterator[str]:
    """Yield the commands for the rules of an empty chain.

    So many that they may have to be loaded in parts begin with the last one, which always leads to an endpoint; those
    before it (session affinity has one for each endpoint) come to its head later.
    """
    if len(chain.rules) <= LONG:
        yield from (f"add rule {at} {chain.name} {rule}\n" for rule in chain.rules)
        return
    yield f"add rule {at} {chain.name} {chain.rules[-1]}\n"
    yield from _insert_rules(at, chain)


def _insert_rules(at: str, chain: NftChain) -> Iterator[str]:
    """Yield the commands that put a chain's rules before its last one, which is there."""
    return (f"insert rule {at} {chain.name} {rule}\n" for rule in reversed(chain.rules[:-1]))


def _shape(one: NftSet) -> tuple[str, str, int]:
    return one.kind, one.type, one.timeout_s


def _differs(old: NftChain | None, new: NftChain, reshaped: set[str]) -> bool:
    """Return whether a chain has to be written: because of its rules, its hook, or a set that they use."""
    if old is None or old.rules != new.rules or old.hook != new.hook:
        return True
    return _uses(new, reshaped)


def _make_set(at: str, one: NftSet) -> str:
    """Return the command for a set without its elements, which follow when the chains that they lead to are there."""
    words = " ".join(f"{line.strip().rstrip(';')};" for line in list(replace(one, elements=()).lines())[1:-1])
    return f"add {one.kind} {at} {one.name} {{ {words} }}\n"


def _make_chain(at: str, chain: NftChain) -> str:
    words = [line.strip().rstrip(";") for line in list(replace(chain, rules=()).lines())[1:-1]]
    return f"add chain {at} {chain.name}{' { ' + '; '.join(words) + '; }' if words else ''}\n"


def _moves(at: str, old: Elements, new: Elements) -> Iterator[str]:
    """Yield the deletions and additions of elements.

    Where a transaction has to be split, a deletion and an addition right behind it stay together: an element whose
    verdict changes is never missing.
    """
    for name in dict.fromkeys([*new, *old]):
        there, wanted = old.get(name, {}), new.get(name, {})
        gone = [one for key, one in there.items() if wanted.get(key) != one]
        come = [one for key, one in wanted.items() if there.get(key) != one]
        yield from _pairs(at, name, [(one, wanted[one.key]) for one in gone if one.key in wanted])
        yield from _commands("add", at, name, [str(one) for one in come if one.key not in there])
        yield from _commands("delete", at, name, [one.key for one in gone if one.key not in wanted])


def _pairs(at: str, name: str, moved: Sequence[tuple[Element, Element]]) -> Iterator[str]:
    for start in range(0, len(moved), _AT_ONCE):
        some = moved[start : start + _AT_ONCE]
        yield from _commands("delete", at, name, [old.key for old, _ in some])
        yield from _commands("add", at, name, [str(new) for _, new in some])


def _commands(verb: str, at: str, name: str, elements: Sequence[str]) -> Iterator[str]:
    for start in range(0, len(elements), _AT_ONCE):
        yield f"{verb} element {at} {name} {{ {', '.join(elements[start : start + _AT_ONCE])} }}\n"


def _removals(at: str, old: _State, new: _State) -> Iterator[str]:
    """Yield what empties all stale chains (they may lead to one another), and then deletes them and the stale sets."""
    stale = [name for name in old.chains if name not in new.chains]
    yield from (f"flush chain {at} {name}\n" for name in stale)
    yield from (f"delete chain {at} {name}\n" for name in stale)
    yield from (f"delete {one.kind} {at} {name}\n" for name, one in old.sets.items() if name not in new.sets)
