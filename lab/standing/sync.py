"""The rules of a lab's nodes follow its objects: what changed is loaded, drift is seen and mended.

All of it works inside the capsule; `lab.proxy.sync` decides what is said to the kernel.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from lab.errors import KernelError, TopologyError
from lab.kernel import conntrack, foreign, netns, rules
from lab.model.address import FAMILIES, Family
from lab.model.cluster import Cluster
from lab.model.drift import Difference
from lab.model.flow import Flow
from lab.model.installed import Installed
from lab.model.nft_ruleset import NftRuleset
from lab.model.ruleset import Ruleset
from lab.parse import conntrack as entries
from lab.parse import saved_rules
from lab.proxy import cleanup, sync, sync_nftables
from lab.proxy import installed as order
from lab.proxy.changed import changed
from lab.proxy.node import node_rules
from lab.proxy.partial import interfaces, of_service, transactions, units_of
from lab.proxy.sync import Held

_UDP = 17  # /etc/protocols


@dataclass(frozen=True, kw_only=True, slots=True)
class Synced:
    """What a sync did: nodes that got a transaction of what changed, and nodes on which every rule was written anew.

    `refused`: what was said where a transaction was refused and every rule was written anew instead. `flows`: how many
    UDP flows of gone endpoints were deleted.
    """

    partly: tuple[str, ...] = ()
    fully: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    flows: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Drift:
    """What differs on one node in one family; nothing if all is as it is wanted."""

    node: str
    family: Family
    differences: tuple[Difference, ...]


def partial(old: Cluster, new: Cluster) -> Synced:
    """Bring the rules of the nodes that both clusters have from `old` to `new`, each in one transaction, side by side.

    A node that refuses its transaction gets a full sync, as kube-proxy does after a failure. Then, if endpoints with
    UDP changed, flows that outlived their endpoint are deleted on every node.
    Raises `TopologyError` if the clusters are of two modes, `KernelError` if a full sync is refused, too.
    """
    _check_mode(old, new)
    there = {node.metadata.name for node in old.nodes}
    nodes = [name for name in _names(new) if name in there]
    loads = [
        rules.Load(netns=one.node, tool=tool(new), family=one.family, text=one.text)
        for one in transactions(old, new, nodes, counters=rules.nfacct_available())
    ]
    refusals = _attempt(loads)
    refused = {load.netns: refusal for load, refusal in zip(loads, refusals, strict=True) if refusal}
    again = [name for name in nodes if name in refused]
    flows = full(new, again).flows
    touched = {load.netns for load in loads} - set(again)
    if changed(old, new).udp:
        flows += _reconcile(new, [name for name in nodes if name not in refused])
    return Synced(
        partly=tuple(name for name in nodes if name in touched),
        fully=tuple(again),
        refused=tuple(refused.values()),
        flows=flows,
    )


def full(cluster: Cluster, nodes: Sequence[str] | None = None) -> Synced:
    """Write every rule of `nodes` (None: of all) anew, as kube-proxy does when it starts; hand edits vanish.

    Where that is too much for one transaction (in a user namespace) chains that are as they should be stay untouched,
    so that no packet meets half of the rules. Then flows that outlived their endpoint are deleted.
    Raises `KernelError` naming each node that refuses.
    """
    names = _names(cluster) if nodes is None else list(nodes)
    if not names:
        return Synced()
    wanted = [(name, one) for name in names for one in _wanted(cluster, name)]
    for name, one in wanted:
        if isinstance(one, Ruleset):
            rules.add_counters(name, one.counters)
    there = [held(cluster, name, one.family) for name, one in wanted]
    own = tool(cluster)
    loads = [
        rules.Load(netns=name, tool=own, family=one.family, text=sync.full(one, now), whole=True, anew=True)
        for (name, one), now in zip(wanted, there, strict=True)
    ]
    again = [
        rules.Load(netns=name, tool=own, family=one.family, text=sync.repair(one, now))
        for refusal, (name, one), now in zip(_attempt(loads), wanted, there, strict=True)
        if refusal
    ]
    rules.restore(again)
    return Synced(fully=tuple(names), flows=_reconcile(cluster, names))


def clear(cluster: Cluster, nodes: Sequence[str]) -> None:
    """Take all rules and sets of some nodes away, whoever wrote them."""
    for name in nodes:
        with netns.inside(name):
            foreign.flush(legacy=cluster.spec.iptables == "legacy")


def drift(cluster: Cluster, nodes: Sequence[str] | None = None) -> tuple[Drift, ...]:
    """Return what differs on `nodes` (None: on all), in each family, between what is wanted and what the kernel holds.

    What is wanted is loaded into a namespace of its own and read back, so that both are spelled by the same program.
    """
    names = _names(cluster) if nodes is None else list(nodes)
    found = []
    for name in names:
        wanted = _as_listed(cluster, _wanted(cluster, name))
        for family, one in zip(FAMILIES, wanted, strict=True):
            differences = sync.drift(one, held(cluster, name, family))
            found.append(Drift(node=name, family=family, differences=differences))
    return tuple(found)


def installed(cluster: Cluster, nodes: Sequence[str], service: tuple[str, str] | None) -> tuple[Installed, ...]:
    """Return what the kernels of `nodes` hold for a Service (namespace and name), or, for None, for all of them."""
    found = []
    for name in nodes:
        flows = _flows(name) if cluster.mode == "nftables" else ()
        for family in FAMILIES:
            text = listing(cluster, name, family)
            tables = saved_rules.read(text, f"rules of {name}")[0] if text else ()
            only = of_service(cluster, name, family, service) if service else None
            lines = order.lines(tables, only, flows)
            found.append(Installed(node=name, family=family, tool=tool(cluster), lines=lines))
    return tuple(found)


def _flows(node: str) -> tuple[Flow, ...]:
    with netns.inside(node):
        return entries.flows(node, conntrack.dump())


def held(cluster: Cluster, node: str | None, family: Family) -> Held:
    """Return what the kernel of a node holds; `node` None is the namespace that this thread is in."""
    return sync.read(listing(cluster, node, family), family, cluster.mode)


def listing(cluster: Cluster, node: str | None, family: Family) -> str:
    """Return what iptables-save -c, or `nft -j list table`, prints on a node; "" if nft knows no such table."""
    try:
        return rules.save(node, tool(cluster), family)
    except KernelError as error:
        if tool(cluster) == "nft" and "No such file or directory" in error.message:
            return ""
        raise


def tool(cluster: Cluster) -> rules.Tool:
    """Return what loads the rules of a lab."""
    if cluster.mode == "nftables":
        return "nft"
    return "iptables-nft" if cluster.spec.iptables == "nft" else "iptables-legacy"


def _check_mode(old: Cluster, new: Cluster) -> None:
    if (before := tool(old)) != (after := tool(new)):
        raise TopologyError(
            f"the lab stands with rules of {before}, expected no others than {after}",
            hint="to change the mode, end the lab and build it anew",
        )


def _names(cluster: Cluster) -> list[str]:
    return [node.metadata.name for node in cluster.nodes]


def _wanted(cluster: Cluster, node: str) -> tuple[Ruleset | NftRuleset, Ruleset | NftRuleset]:
    return node_rules(cluster, node, counters=rules.nfacct_available(), interfaces=interfaces(cluster, node))


def _as_listed(cluster: Cluster, wanted: Sequence[Ruleset | NftRuleset]) -> Iterator[Held]:
    """Return rulesets as this machine's programs print them."""
    with netns.scratch():
        for one in wanted:
            if isinstance(one, Ruleset):
                rules.add_counters(None, one.counters)
        rules.restore(
            [
                rules.Load(netns=None, tool=tool(cluster), family=one.family, text=one.restore_text(), anew=True)
                for one in wanted
            ]
        )
        return iter([held(cluster, None, one.family) for one in wanted])


def _attempt(loads: Sequence[rules.Load]) -> list[str]:
    """Load, and return what was refused.

    Kernels before 6.2 do not delete a chain in the transaction that takes it out of a map (EBUSY): there the deletions
    follow in a second one. What even then is not deleted is empty, and goes with the next full sync.
    """
    refusals = rules.attempt(loads)
    busy = [number for number, said in enumerate(refusals) if loads[number].tool == "nft" and "busy" in said.lower()]
    split = {number: sync_nftables.without_removals(loads[number].text) for number in busy}
    again = {number: pair for number, pair in split.items() if pair[1]}
    for first in (True, False):
        some = [replace(loads[number], text=pair[0] if first else pair[1]) for number, pair in again.items()]
        for number, said in zip(again, rules.attempt(some), strict=True):
            refusals[number] = said if first else refusals[number]
        again = {number: pair for number, pair in again.items() if not refusals[number]}
    return refusals


def _reconcile(cluster: Cluster, nodes: Sequence[str]) -> int:
    """Delete the UDP flows that outlived their endpoint, on each node; return how many."""
    services = tuple(one for one in cluster.services if any(port.protocol == "UDP" for port in one.spec.ports))
    if not services:
        return 0
    some = replace(cluster, services=services)
    found = [unit for family in FAMILIES for unit in units_of(some, family)]
    deleted = 0
    for node in nodes:
        with netns.inside(node):
            udp = [entry for entry in conntrack.dump() if entry["protocol"] == _UDP]
            stale = cleanup.stale(entries.flows(node, udp), found)
            deleted += conntrack.delete([_key(flow) for flow in stale])
    return deleted


def _key(flow: Flow) -> conntrack.Key:
    way = flow.original
    original = (str(way.src), str(way.dst), way.sport, way.dport)
    return conntrack.Key(protocol=_UDP, original=original, zone=flow.zone, id=flow.id)
