"""What has to be told to the kernel when rules change, as text of one transaction: for iptables-restore or for nft -f.

`changes` is for what changed, `full` writes everything anew as kube-proxy's full sync does, `drift` says what differs
from what is wanted. Pure: `lab.sync` reads and loads.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from lab.model.address import Family
from lab.model.drift import Difference
from lab.model.nft_ruleset import NftRuleset, NftServiceRules
from lab.model.ruleset import Ruleset, ServiceRules
from lab.parse import held as saved
from lab.proxy import drift as differences
from lab.proxy import sync_iptables, sync_nftables

Held = Ruleset | NftRuleset | None
"""What a kernel holds; None: there is no table of kube-proxy's (nftables mode)."""


def changes(old: Ruleset | NftRuleset, new: Ruleset | NftRuleset) -> str:
    """Return one transaction that turns `old` into `new`, "" when nothing changes; both of one mode and family.

    Only what differs is touched: the chains of other Services, and the other rules of the chains that all Services
    share, keep their counters. (kube-proxy writes the shared chains anew at every sync.)
    """
    if isinstance(old, Ruleset) and isinstance(new, Ruleset):
        return sync_iptables.changes(old, new)
    if isinstance(old, NftRuleset) and isinstance(new, NftRuleset):
        return sync_nftables.changes(old, new)
    raise _other_mode(old, new)


def part_changes(
    family: Family,
    old: Sequence[ServiceRules] | Sequence[NftServiceRules],
    new: Sequence[ServiceRules] | Sequence[NftServiceRules],
) -> str:
    """Return what `changes` would for rulesets that differ in these service ports alone, without looking at the rest.

    `old` and `new` hold all parts of the service ports that changed (one that is new, or gone, is on one side) and, in
    nftables mode, of those that share an element with one (`lab.proxy.changed.related`).
    """
    parts = (*old, *new)
    if all(isinstance(part, NftServiceRules) for part in parts):
        return sync_nftables.part_changes(family, _nft(old), _nft(new)) if parts else ""
    return sync_iptables.part_changes(_iptables(old), _iptables(new))


def _nft(parts: Iterable[ServiceRules | NftServiceRules]) -> list[NftServiceRules]:
    return [part for part in parts if isinstance(part, NftServiceRules)]


def _iptables(parts: Iterable[ServiceRules | NftServiceRules]) -> list[ServiceRules]:
    return [part for part in parts if isinstance(part, ServiceRules)]


def full(new: Ruleset | NftRuleset, held: Held) -> str:
    """Return kube-proxy's full sync, whatever the kernel `held`: every chain is written anew.

    Our jumps that are missing in built-in chains are put at their head, KUBE- chains that nobody wants go, hand edits
    in KUBE- chains vanish. What stands outside of them stays.
    """
    if isinstance(new, Ruleset) and isinstance(held, Ruleset):
        return sync_iptables.full(new, held)
    if isinstance(new, NftRuleset) and not isinstance(held, Ruleset):
        return sync_nftables.full(new, held)
    raise _other_mode(new, held)


def repair(new: Ruleset | NftRuleset, held: Held) -> str:
    """Return what leads to the same as `full` where that is too much for one transaction, which may be split.

    For iptables it leaves alone what is as it is wanted, so that no shared chain is empty in between; an nft
    transaction can be cut between chains as it is.
    """
    if isinstance(new, Ruleset) and isinstance(held, Ruleset):
        return sync_iptables.repair(new, held)
    return full(new, held)


def read(text: str, family: Family, mode: Literal["iptables", "nftables"]) -> Held:
    """Return what a kernel holds from what iptables-save, or `nft -j list table`, printed.

    Raises `TopologyError` for text that is something else.
    """
    return saved.nft(text, family) if mode == "nftables" else saved.iptables(text, family)


def drift(wanted: Held, held: Held) -> tuple[Difference, ...]:
    """Return what differs, in the order of the wanted rules; in nftables mode both must have been listed by nft."""
    if isinstance(wanted, Ruleset) and isinstance(held, Ruleset):
        return tuple(differences.of_iptables(wanted, held))
    if isinstance(wanted, NftRuleset) and not isinstance(held, Ruleset):
        return tuple(differences.of_nftables(wanted, held))
    raise _other_mode(wanted, held)


def _other_mode(one: Held, other: Held) -> TypeError:
    return TypeError(f"{type(one).__name__} and {type(other).__name__} are rules of two modes")
