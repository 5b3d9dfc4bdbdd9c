"""Everything that has a name in a lab, and finding one of them by what a user typed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from lab.errors import TopologyError
from lab.model.cluster import ROUTER, cluster_ips, gateway, headless, networks, node_addresses, pod_addresses, pod_netns
from lab.parse.mistake import did_you_mean, listed, show

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from lab.model.address import IPAddress
    from lab.model.cluster import Cluster
    from lab.model.kubernetes import Pod, Service

Kind = Literal["svc", "pod", "node", "client", "router"]
PLACES: tuple[Kind, ...] = ("pod", "node", "client", "router")  # those with a network namespace
ALL: tuple[Kind, ...] = ("svc", *PLACES)
WORDS: dict[str, Kind] = {
    "pod": "pod",
    "pods": "pod",
    "po": "pod",
    "node": "node",
    "nodes": "node",
    "no": "node",
    "client": "client",
    "clients": "client",
    "svc": "svc",
    "service": "svc",
    "services": "svc",
}
TITLES: dict[Kind, str] = {"svc": "Service", "pod": "pod", "node": "node", "client": "client", "router": "router"}
MAX_TEXT = 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """A pod, node, client, router or Service; `netns` is "" for a Service, `namespace` is "" for what has none.

    `ports` are (name, number, protocol): a Service's own, or those that a pod declares. `published`: of a headless
    Service, what DNS gives for its name: the addresses of its ready endpoints, which are not its own.
    """

    kind: Kind
    name: str
    namespace: str = ""
    netns: str = ""
    addresses: tuple[IPAddress, ...] = ()
    ports: tuple[tuple[str, int, str], ...] = ()
    published: tuple[IPAddress, ...] = ()

    @property
    def typed(self) -> str:
        """The text that means this place and no other, such as `svc/web` or `pod/kube-system/coredns-1`."""
        if self.kind == "router":
            return ROUTER
        return f"{self.kind}/{self.namespace}/{self.name}" if self.elsewhere else f"{self.kind}/{self.name}"

    @property
    def short(self) -> str:
        """What a table calls it: `web-1`, `kube-system/coredns-1`, `svc/web`."""
        if self.kind == "svc":
            return self.typed
        return f"{self.namespace}/{self.name}" if self.elsewhere else self.name

    @property
    def elsewhere(self) -> bool:
        """Whether it lives in a Kubernetes namespace other than `default`."""
        return self.namespace not in ("", "default")


def places(cluster: Cluster) -> list[Place]:
    """Return everything that has a name: Services, pods, nodes, clients, the router."""
    network = cluster.spec.network
    published = _published(cluster)
    router = tuple(gateway(one) for text in (network.node_cidr, network.client_cidr) for one in networks(text))
    return [
        *(_service(one, published) for one in cluster.services),
        *map(_pod, cluster.pods),
        *(
            Place(kind="node", name=one.metadata.name, netns=one.metadata.name, addresses=node_addresses(one))
            for one in cluster.nodes
        ),
        *(
            Place(
                kind="client",
                name=one.name,
                netns=one.name,
                addresses=one.addresses,
                ports=tuple(("", port.port, port.protocol) for port in one.ports),
            )
            for one in cluster.spec.clients
        ),
        Place(kind="router", name=ROUTER, netns=ROUTER, addresses=router),
    ]


def _published(cluster: Cluster) -> dict[tuple[str, str], tuple[IPAddress, ...]]:
    """Return what DNS gives for each headless Service's name; by the Service's key."""
    found: dict[tuple[str, str], tuple[IPAddress, ...]] = {
        one.metadata.key: () for one in cluster.services if headless(one)
    }
    for piece in cluster.slices if found else ():
        if piece.service_key in found:
            ready = (one for one in piece.endpoints if one.conditions.ready is not False)
            found[piece.service_key] += tuple(one.addresses[0] for one in ready)
    return found


def _service(one: Service, published: Mapping[tuple[str, str], tuple[IPAddress, ...]]) -> Place:
    return Place(
        kind="svc",
        name=one.metadata.name,
        namespace=one.metadata.namespace,
        addresses=cluster_ips(one),
        ports=tuple((port.name, port.port, port.protocol) for port in one.spec.ports),
        published=published.get(one.metadata.key, ()),
    )


def _pod(one: Pod) -> Place:
    return Place(
        kind="pod",
        name=one.metadata.name,
        namespace=one.metadata.namespace,
        netns=pod_netns(one),
        addresses=pod_addresses(one),
        ports=tuple((port.name, port.container_port, port.protocol) for port in one.ports),
    )


def refuse(text: str, what: str) -> None:
    """Raise `TopologyError` for an argument that looks like an option, is empty, or is absurdly long."""
    if not text.strip():
        raise TopologyError(f"an empty text cannot be {what}")
    if text.startswith("-"):
        raise TopologyError(f"{show(text)} cannot be {what}: it begins with '-', as an option does")
    if len(text) > MAX_TEXT:
        raise TopologyError(f"{show(text)} cannot be {what}; expected at most {MAX_TEXT} characters")


def find(known: list[Place], text: str, *, near: str = "default", kinds: Collection[Kind] = ALL) -> Place:
    """Return the one place that `text` means; of several, one in the Kubernetes namespace `near` comes first.

    Raises `TopologyError` if there is none (with the nearest name), or if there are several of different kinds.
    """
    kind, name, namespace = split(text)
    found = [one for one in known if one.name == name and one.kind in kinds and (not kind or one.kind == kind)]
    found = [one for one in found if one.namespace == namespace] if namespace else _nearby(found, near)
    found = found or _by_domain(known, kinds, kind, name)
    found = found or [one for one in known if one.netns == text and one.kind == "pod" and "_" in text]
    if len(found) == 1:
        return found[0]
    if found:
        raise TopologyError(f"{show(text)} means several things; expected {listed(one.typed for one in found)}")
    if not kind and not namespace and set(kinds) == set(PLACES):
        _refuse_service(known, text, near)
    raise _unknown(known, text, kinds)


def split(text: str) -> tuple[Kind | Literal[""], str, str]:
    """Return kind ("" if none is said), name and Kubernetes namespace ("" if none is said) of `kind/ns/name`."""
    first, slash, rest = text.partition("/")
    if not slash:
        return "", text, ""
    if first in WORDS:
        space, second, name = rest.partition("/")
        return WORDS[first], (name if second else rest), (space if second else "")
    return "", rest, first


def _nearby(found: list[Place], near: str) -> list[Place]:
    """As in a cluster's DNS the asker's own namespace comes first; then `default`; then any other."""
    for space in (near, "default"):
        here = [one for one in found if one.namespace in (space, "")]
        if here:
            return here
    return found


def _by_domain(known: list[Place], kinds: Collection[Kind], kind: str, text: str) -> list[Place]:
    """Return the Service that `web.ns`, `web.ns.svc` or `web.ns.svc.cluster.local` means."""
    name, *rest = text.rstrip(".").split(".")
    if "svc" not in kinds or kind not in ("", "svc") or rest[1:] not in ([], ["svc"], ["svc", "cluster", "local"]):
        return []
    return [one for one in known if [one.kind, one.name, one.namespace] == ["svc", name, *rest[:1]]]


def _refuse_service(known: list[Place], text: str, near: str) -> None:
    services = _nearby([one for one in known if one.kind == "svc" and one.name == text], near)
    if services:
        name = services[0].typed
        raise TopologyError(f"{name} is a Service: nothing runs there; expected a pod, a node, a client or the router")


def _unknown(known: list[Place], text: str, kinds: Collection[Kind]) -> TopologyError:
    kind, name, _ = split(text)
    if kind and kind not in kinds:
        return TopologyError(f"{show(text)} is a {TITLES[kind]}; expected a {listed(TITLES[one] for one in kinds)}")
    fitting = [one for one in known if one.kind in kinds and (not kind or one.kind == kind)]
    near = did_you_mean(name, [one.name for one in fitting])
    what = TITLES[kind] if kind else listed(TITLES[one] for one in kinds if one != "router")
    expected = listed(one.typed if kind else one.short for one in fitting)
    return TopologyError(f"there is no {what} {show(name)}; expected {expected}{near}")
