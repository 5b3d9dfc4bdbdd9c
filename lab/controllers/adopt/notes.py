"""What a user should know of a lab that was made of a cluster: what was left out, and what stands for what."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.parse.mistake import listed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.controllers.adopt.choose import Part
    from lab.controllers.adopt.living import Living
    from lab.controllers.adopt.ports import Served
    from lab.model.kubernetes import Node
    from lab.parse.cluster_files import ClusterFiles

_SHOWN = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """What there was, what was wanted of it (`whole`), and what the lab has (`part`, `nodes`)."""

    files: ClusterFiles
    living: Living
    whole: Part
    part: Part
    nodes: Sequence[Node]
    served: Served


def of(account: Account) -> tuple[str, ...]:
    """Return a sentence for each thing that is not as in the cluster, or not there."""
    return tuple(filter(None, (*_left_out(account), *_stand_ins(account.served), _skipped(account))))


def _left_out(account: Account) -> Iterator[str]:
    had = sum(not pod.spec.host_network for pod in account.whole.pods)
    have = sum(not pod.spec.host_network for pod in account.part.pods) - account.served.made
    gone = len(account.whole.services) - len(account.part.services)
    if have < had:
        services = f", and {gone} Services none of whose pods are" if gone else ""
        yield (
            f"{have} of {had} pods are in the lab, spread over Services and nodes; left out, with their endpoints, are"
            f" the others{services}: --limit {had} or --only NAMESPACE has them"
        )
    if len(account.nodes) < len(account.files.nodes):
        nodes = f"{len(account.nodes)} of {len(account.files.nodes)} nodes"
        yield f"{nodes} are in the lab: those of its pods, and the control plane's"


def _stand_ins(served: Served) -> Iterator[str]:
    if served.made:
        yield f"{served.made} pods that only EndpointSlices know of are made as these say"
    if served.stand_ins:
        where = _some(served.stand_ins)
        yield f"what slices say of nodes' own processes is answered by pods called host-NODE, on {where}"
    if served.outside:
        names = _some([one.name for one in served.outside])
        yield f"endpoints that are nobody's in the cluster are machines outside of it: {names}"
    if served.clashes:
        yield f"{served.clashes} ports of host-network pods are left out: others of the same node have them"


def _skipped(account: Account) -> str:
    """Return one line about all that is not built."""
    others = account.living.others
    parts = [f"{number} {_pods(number)} that {reason}" for reason, number in others.items()]
    parts += [f"{number} {kind}" for kind, number in account.files.skipped.items()]
    known = {one.metadata.key for one in account.files.services}
    strays = sum(one.service_key not in known for one in account.files.slices)
    parts += [f"{strays} EndpointSlices of no Service"] if strays else []
    return f"not built: {listed(parts, last='and')}" if parts else ""


def _pods(number: int) -> str:
    return "pod" if number == 1 else "pods"


def _some(names: Iterable[str]) -> str:
    found = list(names)
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return ", ".join(found[:_SHOWN]) + more
