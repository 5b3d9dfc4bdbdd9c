"""What the nodes of a standing lab have installed: rules, their counters, their drift; and writing all anew."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, cast

from lab.errors import TopologyError
from lab.model.address import FAMILIES, Family
from lab.model.cluster import Cluster
from lab.model.kubernetes import Service
from lab.parse import kinds
from lab.parse import target as targets
from lab.standing import live, observe, state
from lab.standing.meter import Meter
from lab.standing.session import Standing

if TYPE_CHECKING:
    from lab.model.installed import Installed
    from lab.standing.sync import Drift

# `lab.standing.sync` loads netlink: it is wanted inside the capsule only.
# ruff: noqa: PLC0415


def service(cluster: Cluster, text: str) -> Service | None:
    """Return the Service that `text` names, None for ""; raises `TopologyError` with the nearest name."""
    return cast("Service", kinds.find(cluster, "Service", text)) if text else None


def rules(lab: Standing, *, node: str = "", of: Service | None = None) -> tuple[Installed, ...]:
    """Return what a node ("": every one) holds for a Service, or, for None, what all Services share.

    Raises `TopologyError` if there is no such node.
    """
    names = nodes(lab.cluster, node)
    key = of.metadata.key if of else None

    def look() -> tuple[Installed, ...]:
        from lab.standing import sync

        return sync.installed(lab.cluster, names, key)

    return lab.call(look)


def drift(lab: Standing, *, node: str = "") -> tuple[Drift, ...]:
    """Return how a node's ("": every one's) rules differ from what is wanted; raises as `rules` does."""
    with live.steady(lab) as standing:  # amid a change there are differences that nobody made
        names = nodes(standing.cluster, node)

        def look() -> tuple[Drift, ...]:
            from lab.standing import sync

            return sync.drift(standing.cluster, names)

        return standing.call(look)


def rewrite(lab: Standing, progress: Meter, *, node: str = "") -> list[str]:
    """Write all rules of a node ("": of every one) anew, and return the nodes; raises as `rules` does."""
    with live.held(lab, progress) as standing:  # the objects must not change meanwhile
        names = nodes(standing.cluster, node)

        foreign = [name for name in names if name in standing.record.rules]

        def write() -> None:
            from lab.standing import sync

            sync.clear(standing.cluster, foreign)
            sync.full(standing.cluster, names)

        standing.call(write)
        if foreign:
            left = {name: file for name, file in standing.record.rules.items() if name not in foreign}
            state.note(lab.name, rules=left)
    return names


def counters(lab: Standing, node: str) -> Counter[str]:
    """Return the packets that the rules of kube-proxy's chains on a node have counted, in both families.

    Keys are as `lab.judge.rules.counts` has them.
    Raises `TopologyError` if there is no such node, or in nftables mode, whose rules do not count.
    """
    (name,) = nodes(lab.cluster, node)
    if lab.cluster.mode == "nftables":
        raise TopologyError(
            "rules of nftables mode do not count packets; expected a lab in iptables mode",
            hint="what conntrack knows of them stands in the rules' lines, while it remembers the flows",
        )

    def look() -> Counter[str]:
        found: Counter[str] = Counter()
        for family in FAMILIES:
            found.update(counts(lab.cluster, name, family))
        return found

    return lab.call(look)


def counts(cluster: Cluster, node: str, family: Family) -> Counter[str]:
    """Inside the capsule: return what the rules of kube-proxy's chains have counted; see `lab.judge.rules.counts`."""
    from lab.judge import rules as judged
    from lab.parse import saved_rules
    from lab.standing import sync

    return judged.counts(saved_rules.read(sync.listing(cluster, node, family), f"rules of {node}")[0])


def nodes(cluster: Cluster, node: str) -> list[str]:
    """Return the node that was named, or, for "", all; raises `TopologyError` with the nearest name."""
    return [targets.node(cluster, node).netns] if node else observe.node_names(cluster)
