"""What a change did to a lab: its objects before and after, told as one would ask for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lab import words
from lab.controllers.endpoints import CONTROLLER
from lab.controllers.keep import replaced
from lab.model.cluster import cluster_ips, node_addresses, pod_addresses
from lab.model.labels import MANAGED_BY
from lab.model.part import camel
from lab.model.status import service_rows, shown
from lab.report.table import PLAIN, Look, wrap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from msgspec import Struct

    from lab.model.address import IPAddress
    from lab.model.cluster import Cluster
    from lab.model.kubernetes import Deployment, EndpointSlice, Node, Pod, Service, ServiceCIDR
    from lab.model.proxy_config import KubeProxyConfiguration
    from lab.model.status import ServiceRow

    One = Deployment | EndpointSlice | Node | Pod | Service | ServiceCIDR
    Tell = Callable[[Any, Any], str]
    """Given an object before (None: there was none) and after, says what came of it."""

Row = dict[str, str]

_PARTS = ("metadata", "spec", "status")
"""The parts of an object whose fields are told by their own names."""


def text(old: Cluster, new: Cluster, look: Look = PLAIN) -> str:
    """Return a line for each object that came, went or is another now, and for each Service with other endpoints."""
    lines = [f"{row['kind']} {row['name']} {row['what']}" for row in data(old, new)]
    return "\n".join(wrap(line, look.width) for line in lines) or "nothing to change: all of it is so already"


def data(old: Cluster, new: Cluster) -> list[Row]:
    """Return `kind`, `name`, `change` (created, changed, deleted) and `what` in words of everything that changed."""
    told = _Services(old, new)
    return [
        *_rows("node", old.nodes, new.nodes, _node),
        *_clients(old, new),
        *_rows("Deployment", old.deployments, new.deployments, _deployment),
        *_rows("pod", old.pods, new.pods, _pod),
        *_rows("Service", old.services, new.services, told.tell, told.same),
        *_rows("EndpointSlice", _given(old), _given(new), _other),
        *_rows("ServiceCIDR", old.service_cidrs, new.service_cidrs, _other),
        *_proxy(old, new),
        *_lab(old, new),
    ]


def _rows(
    kind: str,
    old: Iterable[One],
    new: Iterable[One],
    tell: Tell,
    same: Callable[[Any, Any], bool] = lambda was, now: was == now,
) -> Iterator[Row]:
    had = {one.metadata.key: one for one in old}
    has = {one.metadata.key: one for one in new}
    for key, one in had.items():
        if key not in has:
            yield {"kind": kind, "name": shown(one.metadata), "change": "deleted", "what": "deleted"}
    for key, one in has.items():
        was = had.get(key)
        if was is None or not same(was, one):
            change = "created" if was is None else "changed"
            yield {"kind": kind, "name": shown(one.metadata), "change": change, "what": tell(was, one)}


def _node(old: Node | None, new: Node) -> str:
    return f"created: {_list(node_addresses(new))}" if old is None else _changed(old, new)


def _deployment(old: Deployment | None, new: Deployment) -> str:
    count = f"{new.spec.replicas} {words.noun(new.spec.replicas, 'replica')}"
    if old is None:
        return f"created: {count}"
    if old.spec.template != new.spec.template:
        return f"changed: {count} of another template"
    return f"has {count}, {old.spec.replicas} before" if old.spec.replicas != new.spec.replicas else _changed(old, new)


def _pod(old: Pod | None, new: Pod) -> str:
    where = f"on {new.spec.node_name} {_list(pod_addresses(new))}"
    if old is None:
        return f"created {where}"
    if replaced(old, new):
        return f"replaced by another one {where}"
    was, now = (old.ready, old.terminating), (new.ready, new.terminating)
    if was == now:
        return _changed(old, new)
    if new.terminating:
        return f"is terminating, {'still' if new.ready else 'not'} serving"
    return "is ready" if new.ready else "is not ready"


class _Services:
    """Tells of Services with their endpoints: these change with pods, while the object stays as it is."""

    def __init__(self, old: Cluster, new: Cluster) -> None:
        self.old = {row.name: row for row in service_rows(old)}
        self.new = {row.name: row for row in service_rows(new)}

    def same(self, old: Service, new: Service) -> bool:
        name = shown(new.metadata)
        return old == new and _endpoints(self.old[name]) == _endpoints(self.new[name])

    def tell(self, old: Service | None, new: Service) -> str:
        now = self.new[shown(new.metadata)]
        if old is None:
            ports = _list(port.node_port for port in new.spec.ports if port.node_port)
            parts = [_list(cluster_ips(new)) or "no ClusterIP", f"node port {ports}" if ports else "", _count(now)]
            return f"created: {', '.join(filter(None, parts))}"
        was = self.old[shown(new.metadata)]
        before = "" if _count(was) == _count(now) else f", {_ready(was)} before"
        return f"{'has' if old == new else f'{_changed(old, new)}: has'} {_count(now)}{before}"


def _endpoints(row: ServiceRow) -> dict[IPAddress, bool]:
    return {one.address: one.ready for port in row.ports for one in port.endpoints}


def _ready(row: ServiceRow) -> str:
    found = _endpoints(row)
    ready = sum(found.values())
    return f"{ready} ready of {len(found)}" if ready != len(found) else str(ready)


def _count(row: ServiceRow) -> str:
    number = len(_endpoints(row))
    return f"{_ready(row)} {words.noun(number, 'endpoint')}" if number else "no endpoints"


def _given(cluster: Cluster) -> list[EndpointSlice]:
    return [one for one in cluster.slices if one.metadata.labels.get(MANAGED_BY) != CONTROLLER]


def _other(old: EndpointSlice | ServiceCIDR | None, new: EndpointSlice | ServiceCIDR) -> str:
    return "created" if old is None else _changed(old, new)


def _changed(old: One | KubeProxyConfiguration, new: One | KubeProxyConfiguration) -> str:
    """Return that an object changed, and which of its fields did: `changed (type, ports)`."""
    names = [
        name
        for part, was, now in _differing(old, new)
        for name in ([inner for inner, _, _ in _differing(was, now)] if part in _PARTS else [part])
    ]
    return f"changed ({', '.join(names)})"


def _differing(old: Struct, new: Struct) -> list[tuple[str, Any, Any]]:
    """Return the fields of two objects of one kind that are not the same, by the API's names."""
    pairs = ((name, getattr(old, name), getattr(new, name)) for name in old.__struct_fields__)
    return [(camel(name), was, now) for name, was, now in pairs if was != now]


def _clients(old: Cluster, new: Cluster) -> Iterator[Row]:
    known = {client.name for client in old.spec.clients}
    for client in new.spec.clients:
        if client.name not in known:
            what = f"created: {_list(client.addresses)}"
            yield {"kind": "client", "name": client.name, "change": "created", "what": what}


def _proxy(old: Cluster, new: Cluster) -> Iterator[Row]:
    if old.proxy != new.proxy:
        what = _changed(old.proxy, new.proxy)
        yield {"kind": old.proxy.kind, "name": "of every node", "change": "changed", "what": what}


def _lab(old: Cluster, new: Cluster) -> Iterator[Row]:
    count = len(new.spec.expect)
    if old.spec.expect != new.spec.expect:
        what = f"expects {count} {words.noun(count, 'thing')} now"
        yield {"kind": "Lab", "name": new.name, "change": "changed", "what": what}


def _list(items: Iterable[object]) -> str:
    return ", ".join(map(str, items))
