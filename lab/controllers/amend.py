"""A lab that stands, with some of its objects created, changed or deleted: complete again, and valid as a whole.

What was allocated stays. What controllers made is made anew: replicas of Deployments, EndpointSlices of selectors.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from msgspec.structs import replace

from lab.controllers.complete import assemble, title
from lab.controllers.deployments import owned
from lab.controllers.endpoints import CONTROLLER, Selection
from lab.controllers.keep import keep
from lab.errors import TopologyError
from lab.model.cluster import Cluster, node_addresses, pod_cidrs
from lab.model.kubernetes import Deployment, EndpointSlice, Node, ObjectMeta, Pod, Service
from lab.model.labels import MANAGED_BY
from lab.model.part import camel
from lab.model.proxy_config import KubeProxyConfiguration
from lab.parse.mistake import LAB, Mistakes, show, show_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lab.model.kubernetes import Object
    from lab.model.lab import Lab
    from lab.parse.mistake import Path

Key = tuple[str, str, str]
"""An object's kind, Kubernetes namespace ("" for what has none) and name."""

STANDING = 1_000_000
"""Objects that stand are numbered from here on; those of an edit have smaller numbers."""

_STAYS = "while the lab stands; end it (lab.down) and build it anew to have that"


def key_of(one: Object) -> Key:
    """Return what tells `one` from all other objects."""
    meta = None if isinstance(one, KubeProxyConfiguration) else one.metadata
    spaced = isinstance(one, (Pod, Service, Deployment, EndpointSlice))
    return one.kind, meta.namespace if meta and spaced else "", meta.name if meta else ""


@dataclass(frozen=True, kw_only=True)
class Edit:
    """What shall be other than it is: objects by number to create or replace, keys of objects to delete.

    Of a Lab document `expect` is taken as it is, `nodes` and `clients` are added; the rest must be as it stands.
    `exact`: the objects are whole as they are, and keep nothing of those that stand.
    """

    lab: Lab | None = None
    objects: Mapping[int, Object] = field(default_factory=dict)
    gone: frozenset[Key] = frozenset()
    exact: bool = False


@dataclass(frozen=True, kw_only=True)
class Amended:
    """What came of an edit: the whole cluster, and its objects by number, as mistakes name them."""

    cluster: Cluster
    objects: Mapping[int, Object]


def changed(cluster: Cluster, edit: Edit) -> Cluster:
    """Return `cluster` after `edit`.

    Raises `TopologyError` with every mistake, each with the kind and the name of its object.
    """
    out = Mistakes()
    done = amend(cluster, edit, out)
    if out.kept:
        raise TopologyError([f"{_title(done, one.at)}: {show_path(one.path)}: {one.text}" for one in out.kept])
    return done.cluster


def _title(done: Amended, at: int) -> str:
    return title(done.objects[at]) if at in done.objects else f"Lab {done.cluster.name}"


def amend(cluster: Cluster, edit: Edit, out: Mistakes) -> Amended:
    """Return `cluster` after `edit`; when `out` got mistakes it is not to be used.

    An expectation of the lab that stands may name what is gone now: that is for `lab.check` to tell.
    """
    objects = _merged(cluster, edit, out)
    gone = _gone_pods(cluster, objects, edit)
    going = {pod.metadata.key for pod in gone}
    objects = {
        at: one
        for at, one in objects.items()
        if at < STANDING or not isinstance(one, Pod) or one.metadata.key not in going
    }
    objects = _without_derived(cluster, objects)
    found = Mistakes()
    lab = _lab(cluster, edit, out)
    lab = replace(lab, spec=replace(lab.spec, nodes=tuple(_kept(lab.spec.nodes, edit.gone))))
    whole = assemble(lab, objects, found, gone=gone)
    for one in found.kept:
        if edit.lab is not None or one.at != LAB or one.path[:2] != ("spec", "expect"):
            out.add(one.at, one.path, one.text, key=one.key, certain=one.certain)
    return Amended(cluster=dataclasses.replace(whole, programs=cluster.programs), objects=objects)


def _kept(names: Iterable[str], gone: frozenset[Key]) -> Iterable[str]:
    return (name for name in names if ("Node", "", name) not in gone)


def _merged(cluster: Cluster, edit: Edit, out: Mistakes) -> dict[int, Object]:
    """Return all objects in the order in which they stand, new ones behind them."""
    given: dict[Key, int] = {}
    for at, one in edit.objects.items():
        if key_of(one) in given:
            text = f"there is a {one.kind} {show(key_of(one)[2])} in this file already; expected it once"
            out.add(at, ("metadata", "name"), text)
        given[key_of(one)] = at
    objects: dict[int, Object] = {}
    for number, old in enumerate(_standing(cluster), STANDING):
        key = key_of(old)
        if key in given:
            at = given.pop(key)
            objects[at] = edit.objects[at] if edit.exact else keep(old, edit.objects[at])
            _check_fixed(at, old, objects[at], out)
        elif not _goes(old, key, edit.gone):
            objects[number] = old
    return objects | {at: edit.objects[at] for at in given.values()}


def _standing(cluster: Cluster) -> Iterable[Object]:
    yield cluster.proxy
    yield from cluster.nodes
    yield from cluster.pods
    yield from cluster.deployments  # behind the pods, so that new ones come last
    yield from cluster.services
    yield from cluster.slices
    yield from cluster.service_cidrs


def _goes(one: Object, key: Key, gone: frozenset[Key]) -> bool:
    """Return whether an object is deleted: itself, or, of a slice, its Service."""
    return key in gone or (isinstance(one, EndpointSlice) and ("Service", *one.service_key) in gone)


def _check_fixed(at: int, old: Object, new: Object, out: Mistakes) -> None:
    """Report a change of what cannot change while a lab stands."""
    if isinstance(old, KubeProxyConfiguration) and new != _with_rules_of(old, new):
        free = "clusterCIDR, detectLocal, detectLocalMode and masqueradeAll"
        out.add(at, (), f"kube-proxy's configuration cannot change but for {free} {_STAYS}")
    if isinstance(old, Node) and isinstance(new, Node):
        parts: tuple[tuple[Path, object, object], ...] = (
            (("spec",), pod_cidrs(old), pod_cidrs(new)),
            (("status",), node_addresses(old), node_addresses(new)),
        )
        for path, was, now in parts:
            if was != now:
                what = "pod range" if path == ("spec",) else "address"
                out.add(at, path, f"the {what} of node {old.metadata.name} cannot change {_STAYS}")


def _with_rules_of(old: KubeProxyConfiguration, new: Object) -> Object:
    """Return `old` with what only rules are made of from `new`: these are written anew, as when kube-proxy restarts."""
    if not isinstance(new, KubeProxyConfiguration):
        return old
    return replace(
        old,
        cluster_cidr=new.cluster_cidr,
        detect_local=new.detect_local,
        detect_local_mode=new.detect_local_mode,
        iptables=replace(old.iptables, masquerade_all=new.iptables.masquerade_all),
        nftables=replace(old.nftables, masquerade_all=new.nftables.masquerade_all),
    )


def _gone_pods(cluster: Cluster, objects: Mapping[int, Object], edit: Edit) -> list[Pod]:
    """Return the pods that go: deleted, or on a deleted node, or of a Deployment that is deleted or changed."""
    new = {key_of(one): one for one in objects.values() if isinstance(one, Deployment)}
    pods = dict(enumerate(cluster.pods))
    mine = owned(dict(enumerate(cluster.deployments)), pods)
    old: set[int] = set()
    for number, one in enumerate(cluster.deployments):
        now = new.get(key_of(one))
        if not isinstance(now, Deployment) or now.spec.template != one.spec.template:
            old.update(mine[number])
    given = {key_of(one) for one in edit.objects.values()}
    return [
        pod
        for number, pod in pods.items()
        if key_of(pod) not in given
        and (number in old or key_of(pod) in edit.gone or ("Node", "", pod.spec.node_name) in edit.gone)
    ]


def _without_derived(cluster: Cluster, objects: Mapping[int, Object]) -> dict[int, Object]:
    """Return the objects without the slices that the EndpointSlice controller keeps: it makes them anew.

    Those of a Service whose pods nobody knows stay: they came with the file.
    """
    pods = [*cluster.pods, *(one for one in objects.values() if isinstance(one, Pod))]
    for one in objects.values():
        if isinstance(one, Deployment):
            labels = one.spec.template.metadata.labels
            pods.append(Pod(metadata=ObjectMeta(name="", namespace=one.metadata.namespace, labels=labels)))
    selection = Selection(pods)
    services = (one for one in (*cluster.services, *objects.values()) if isinstance(one, Service))
    known = {one.metadata.key for one in services if selection.of(one)}
    return {
        at: one
        for at, one in objects.items()
        if at < STANDING
        or not isinstance(one, EndpointSlice)
        or one.metadata.labels.get(MANAGED_BY) != CONTROLLER
        or one.service_key not in known
    }


def _lab(cluster: Cluster, edit: Edit, out: Mistakes) -> Lab:
    """Return the Lab document after the edit."""
    old, new = cluster.lab, edit.lab
    if new is None:
        return old
    spec = new.spec
    parts: list[tuple[Path, object, object]] = [
        (("spec", name), getattr(old.spec, name), getattr(spec, name)) for name in ("iptables", "release")
    ]
    for name in ("pod_cidr", "service_cidr", "plugin", "overlay", "hairpin_mode", "addresses"):
        had, now = getattr(old.spec.network, name), getattr(spec.network, name)
        parts.append((("spec", "network", camel(name)), had, now))
    for path, had, now in parts:
        if had != now:
            out.add(LAB, path, f"this is {had} in the lab, and cannot change {_STAYS}")
    clients = {client.name: client for client in old.spec.clients}
    for index, client in enumerate(spec.clients):
        stands = clients.setdefault(client.name, client)
        if client.addresses and client.addresses != stands.addresses:
            out.add(LAB, ("spec", "clients", index, "addresses"), f"a client's addresses cannot change {_STAYS}")
    nodes = tuple(dict.fromkeys((*old.spec.nodes, *spec.nodes)))
    return replace(old, spec=replace(old.spec, nodes=nodes, clients=tuple(clients.values()), expect=spec.expect))
