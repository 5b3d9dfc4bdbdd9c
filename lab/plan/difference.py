"""Two states of one lab -> ops: what changes in the network when objects come and go, and in which order.

What is new has to answer before any rule points to it; what goes may only go when no rule points to it any more. The
rules themselves change in between: that is kube-proxy's part (`lab.sync`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from msgspec import structs

from lab.controllers.keep import replaced
from lab.errors import TopologyError
from lab.model.cluster import Cluster, pod_addresses
from lab.model.kubernetes import SliceEndpoint
from lab.model.ops import (
    Address,
    Close,
    Delete,
    Fdb,
    Hosts,
    Listener,
    Namespace,
    Neighbour,
    Op,
    Remove,
    Route,
    Veth,
    Wire,
)
from lab.plan.describe import describe
from lab.plan.hosts import hosts
from lab.plan.planner import listeners, rules, wiring


@dataclass(frozen=True, kw_only=True)
class Difference:
    """What to do `before` the rules change, and what `after`."""

    before: tuple[Op, ...] = ()
    after: tuple[Op, ...] = ()


def difference(old: Cluster, new: Cluster, *, nfacct: bool = True) -> Difference:
    """Return what turns the network of `old` into that of `new`, but for the rules of nodes that both have.

    No pod may be `replaced` from one to the other (see `stages`). Raises `TopologyError` for what cannot change.
    """
    had, wanted = wiring(old), wiring(new)
    known = set(had)
    added = [op for op in wanted if op not in known]
    nodes = {node.metadata.name for node in old.nodes}
    news = [node.metadata.name for node in new.nodes if node.metadata.name not in nodes]
    served, serving = list(listeners(old)), list(listeners(new))
    names = hosts(new)
    return Difference(
        before=(
            *added,
            *rules(new, news, nfacct=nfacct),
            *((names,) if names != hosts(old) else ()),
            *_without(serving, served),
        ),
        after=(*_closed(served, serving), *_deleted(had, wanted)),
    )


def _without(wanted: Iterable[Listener], others: Iterable[Listener]) -> Iterator[Listener]:
    known = set(others)
    return (op for op in wanted if op not in known)


def _closed(served: Iterable[Listener], serving: Iterable[Listener]) -> Iterator[Close]:
    stay = {(op.netns, op.pod) for op in serving}
    ends = dict.fromkeys((op.netns, op.pod) for op in served)  # a pod may be served, and run something too
    return (Close(netns=netns, pod=pod) for netns, pod in ends if (netns, pod) not in stay)


def _deleted(had: Iterable[Wire], wanted: Iterable[Wire]) -> Iterator[Op]:
    """Yield what takes away `had` but for `wanted`: first what stands in namespaces that stay, then namespaces.

    A veth is deleted and not left to its namespace's end, which comes later, and not while a shell is open in it; what
    the near end had goes with it.
    """
    stay = set(wanted)
    gone = [op for op in had if op not in stay]
    ending = {op.netns for op in gone if isinstance(op, Namespace)}
    cables = {(op.netns, op.name) for op in gone if isinstance(op, Veth)}
    for op in gone:
        if op.netns in ending:
            continue
        match op:
            case Address() | Route() | Neighbour() if (op.netns, op.link) in cables:
                continue
            case Route() | Neighbour() | Fdb():
                yield Delete(what=op)
            case Veth() if op.peer_netns in ending:
                yield Delete(what=op)
            case _:
                raise TopologyError(f"this cannot change while the lab stands:\n{describe(op)}")
    yield from (Remove(netns=name) for name in dict.fromkeys(op.netns for op in gone if isinstance(op, Namespace)))


def stages(old: Cluster, new: Cluster) -> tuple[Cluster, ...]:
    """Return the clusters to go through from `old` to `new`, the last of them `new`.

    A pod that is replaced by another one of its name has to be gone from the rules before it can make room.
    """
    between = without_replaced(old, new)
    return (new,) if between is old else (between, new)


def without_replaced(old: Cluster, new: Cluster) -> Cluster:
    """Return `old` without the pods that are others in `new`, though of the same name, and without their endpoints."""
    now = {pod.metadata.key: pod for pod in new.pods}
    leaving = [pod for pod in old.pods if pod.metadata.key in now and replaced(pod, now[pod.metadata.key])]
    if not leaving:
        return old
    keys = {pod.metadata.key for pod in leaving}
    addresses = {address for pod in leaving if not pod.spec.host_network for address in pod_addresses(pod)}

    def stays(one: SliceEndpoint) -> bool:
        named = one.target_ref and (one.target_ref.namespace, one.target_ref.name) in keys
        return not named and not addresses.intersection(one.addresses[:1])

    slices = tuple(structs.replace(part, endpoints=tuple(filter(stays, part.endpoints))) for part in old.slices)
    return replace(old, pods=tuple(pod for pod in old.pods if pod.metadata.key not in keys), slices=slices)


def mending(wanted: Cluster, other: Cluster, *, nfacct: bool = True) -> tuple[Op, ...]:
    """Return ops that make the network that of `wanted`, however far a change from or to `other` had come.

    They are to be done with `mend`. What only one of the two has is taken away, and made anew if it is wanted.
    """
    ours, theirs = without_replaced(wanted, other), without_replaced(other, wanted)
    return (
        *difference(other, ours, nfacct=nfacct).after,
        *difference(wanted, theirs, nfacct=nfacct).after,
        *(op for op in difference(theirs, wanted, nfacct=nfacct).before if not isinstance(op, Hosts)),
        hosts(wanted),
    )
