"""What a change of a cluster's objects says to the kernels of its nodes: one transaction for each node and family.

Only the service ports of Services that changed are rendered, and compared, before and after.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from lab.model import interfaces as links
from lab.model.address import FAMILIES, Family, IPAddress
from lab.model.cluster import Cluster
from lab.model.nft_ruleset import NftServiceRules
from lab.model.ruleset import ServiceRules
from lab.model.service import ServiceUnit
from lab.proxy import classic_service, classic_units, iptables_service, nftables_service, sync
from lab.proxy.changed import changed, large, related, same_inputs
from lab.proxy.config import LOOPBACK, configure
from lab.proxy.installed import Wanted, wanted
from lab.proxy.iptables_words import Context
from lab.proxy.names import service_port_name
from lab.proxy.node import node_rules
from lab.proxy.services import ServiceKey, units


@dataclass(frozen=True, kw_only=True, slots=True)
class Transaction:
    """What one node has to be told about one family."""

    node: str
    family: Family
    text: str


def transactions(old: Cluster, new: Cluster, nodes: Collection[str], *, counters: bool = True) -> list[Transaction]:
    """Return what turns the rules of each of `nodes` from `old` into `new`; nothing where nothing changes.

    The clusters are of one mode, and both have the nodes. `counters`: whether the kernel has nfacct.
    Raises what `lab.proxy.node.render` raises.
    """
    sizes = large(new)
    if same_inputs(old, new) and large(old) == sizes:
        found = _parts(old, new, nodes, counters=counters, sizes=sizes)
    else:
        found = _whole(old, new, nodes, counters=counters)
    return [one for one in found if one.text]


def interfaces(cluster: Cluster, name: str) -> tuple[IPAddress, ...]:
    """Return the addresses that a lab's node has."""
    node = next(one for one in cluster.nodes if one.metadata.name == name)
    return (*LOOPBACK.values(), *chain.from_iterable(links.interfaces(cluster, node).values()))


def units_of(cluster: Cluster, family: Family) -> tuple[ServiceUnit, ...]:
    """Return the service ports of a lab in one family."""
    external_ips = cluster.proxy.feature_gates.get("AllowServiceExternalIPs", True)
    read = classic_units.units if cluster.spec.release == "classic" else units
    return read(cluster.services, cluster.slices, family, external_ips=external_ips)


def of_service(cluster: Cluster, node: str, family: Family, key: ServiceKey) -> Wanted:
    """Return what tells the rules of the Service `key` apart from others, on a node."""
    found = units_of(_only(cluster, {key}), family)
    context = _context(cluster, node, family, large=False, counters=False)
    names = [service_port_name(unit.namespace, unit.name, unit.port_name) for unit in found]
    return wanted(_rules(cluster, found, context), names)


def _context(cluster: Cluster, node: str, family: Family, *, large: bool, counters: bool) -> Context:
    own = interfaces(cluster, node)
    config = configure(cluster.proxy, cluster.nodes, family, node=node, mode=cluster.mode, interfaces=own)
    return Context(config, large=large, counters=counters and cluster.spec.release != "classic")


def _only(cluster: Cluster, keys: Collection[ServiceKey]) -> Cluster:
    """Return the cluster with no other Services than `keys`, and their slices."""
    services = tuple([one for one in cluster.services if one.metadata.key in keys])
    slices = tuple([one for one in cluster.slices if one.service_key in keys])
    return replace(cluster, services=services, slices=slices)


def _whole(old: Cluster, new: Cluster, nodes: Collection[str], *, counters: bool) -> Iterator[Transaction]:
    """Compare all rules: more than Services changed."""
    for name in nodes:
        before = node_rules(old, name, counters=counters, interfaces=interfaces(old, name))
        after = node_rules(new, name, counters=counters, interfaces=interfaces(new, name))
        for one, other in zip(before, after, strict=True):
            yield Transaction(node=name, family=other.family, text=sync.changes(one, other))


def _parts(
    old: Cluster, new: Cluster, nodes: Collection[str], *, counters: bool, sizes: Mapping[Family, bool]
) -> Iterator[Transaction]:
    """Compare the rules of the Services that changed."""
    keys: Collection[ServiceKey] = changed(old, new).services
    if not keys:
        return
    if new.mode == "nftables":
        # Those that did not change are the same in both.
        keys = related(new, (_only(old, keys), _only(new, keys))).union(keys)
    old, new = _only(old, keys), _only(new, keys)
    for family in FAMILIES:
        before, after = units_of(old, family), units_of(new, family)
        if before == after:
            continue
        for name in nodes:
            context = _context(new, name, family, large=sizes[family], counters=counters)
            text = sync.part_changes(family, _rules(new, before, context), _rules(new, after, context))
            yield Transaction(node=name, family=family, text=text)


def _rules(
    cluster: Cluster, found: Sequence[ServiceUnit], context: Context
) -> list[ServiceRules] | list[NftServiceRules]:
    if cluster.mode == "nftables":
        return [nftables_service.service_rules(unit, context.config) for unit in found]
    render = classic_service.service_rules if cluster.spec.release == "classic" else iptables_service.service_rules
    return [render(unit, context) for unit in found]
