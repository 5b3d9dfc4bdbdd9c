"""What differs between the rules that are wanted and those that a kernel holds.

What `lab.sync` would mend counts: kube-proxy's chains and table, and its jumps in the built-in chains. Rules that
somebody else put outside of KUBE- chains are none of our business.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from lab.model.drift import Difference
from lab.model.nft_ruleset import TABLE, TABLE_FAMILY, NftRuleset, NftSet
from lab.model.ruleset import BUILT_IN, Ruleset
from lab.proxy.sync_iptables import KUBELETS, SHARED, ends_well


def of_iptables(wanted: Ruleset, held: Ruleset) -> Iterator[Difference]:
    """Yield what differs, chain by chain in the order of the tables; the order of a shared chain's rules is free."""
    there = {place: chain.rules for place, chain in held.chains()}
    ours = {place: chain.rules for place, chain in wanted.chains()}
    for place, rules in ours.items():
        table, name = place
        if name in BUILT_IN:
            present = set(there.get(place, ()))
            yield from (Difference("missing", "jump", table, name, rule) for rule in rules if rule not in present)
        elif place not in there:
            yield Difference("missing", "chain", table, name)
        else:
            yield from _rules(table, name, rules, there[place], free=place in SHARED)
    for table, name in there:
        if name.startswith("KUBE-") and name not in KUBELETS and (table, name) not in ours:
            yield Difference("extra", "chain", table, name)


def of_nftables(wanted: NftRuleset, held: NftRuleset | None) -> Iterator[Difference]:
    """Yield what differs in kube-proxy's table; the rules of both must have been listed by nft, which spells them."""
    table = f"{TABLE_FAMILY[wanted.family]} {TABLE}"
    if held is None:
        yield Difference("missing", "table", table, "")
        return
    sets, chains = {one.name: one for one in held.sets}, {chain.name: chain for chain in held.chains}
    for one in wanted.sets:
        yield from _set(table, one, sets.pop(one.name, None))
    yield from (Difference("extra", "set", table, name) for name in sets)
    for chain in wanted.chains:
        there = chains.pop(chain.name, None)
        if there is None:
            yield Difference("missing", "chain", table, chain.name)
        elif there.hook != chain.hook:
            yield Difference("changed", "chain", table, chain.name, "its hook or its priority")
        else:
            yield from _rules(table, chain.name, chain.rules, there.rules)
    yield from (Difference("extra", "chain", table, name) for name in chains)


def _rules(
    table: str, chain: str, wanted: Sequence[str], there: Sequence[str], *, free: bool = False
) -> Iterator[Difference]:
    if list(wanted) == list(there):
        return
    missing, extra = Counter(wanted), Counter(there)
    missing.subtract(there)
    extra.subtract(wanted)
    some = False
    for kind, counted in (("missing", missing), ("extra", extra)):
        for rule in counted:
            for _ in range(counted[rule]):
                some = True
                yield Difference("missing" if kind == "missing" else "extra", "rule", table, chain, rule)
    if not some and not (free and ends_well(there)):
        yield Difference("order", "rules", table, chain)


def _set(table: str, wanted: NftSet, there: NftSet | None) -> Iterator[Difference]:
    if there is None:
        yield Difference("missing", "set", table, wanted.name)
        return
    if (there.kind, there.type, there.timeout_s) != (wanted.kind, wanted.type, wanted.timeout_s):
        yield Difference("changed", "set", table, wanted.name, "its type or its timeout")
        return
    if wanted.timeout_s:  # packets fill it
        return
    held = {element.key: element for element in there.elements}
    for element in wanted.elements:
        found = held.pop(element.key, None)
        if found is None:
            yield Difference("missing", "element", table, wanted.name, str(element))
        elif found != element:
            yield Difference("changed", "element", table, wanted.name, f"{found}, expected {element}")
    yield from (Difference("extra", "element", table, wanted.name, str(element)) for element in held.values())
