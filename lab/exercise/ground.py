"""Who is there to ask and to answer in a lab: the ground that the behaviour matrix is laid on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from lab.model.address import IPAddress
from lab.model.cluster import Cluster, cluster_ips, full_name
from lab.model.kubernetes import Pod, Protocol, Service, ServicePort
from lab.model.lab import Answer, Expectation
from lab.model.status import PortRow, service_rows, shown


@dataclass(frozen=True, kw_only=True, slots=True)
class End:
    """A pod behind a Service's port: as expectations name it, where it runs, and the port that it serves."""

    pod: str
    node: str
    port: int


@dataclass(frozen=True, kw_only=True)
class Front:
    """One port of a Service with a ClusterIP, and the ready pods behind it; `to` is how expectations name it."""

    service: Service
    port: ServicePort
    external: tuple[IPAddress, ...]
    ends: tuple[End, ...]

    @property
    def to(self) -> str:
        """The Service's port as an expectation's `to`."""
        return f"{full_name(self.service)}:{self.port.port}"

    @property
    def protocol(self) -> Protocol:
        """TCP or UDP."""
        return self.port.protocol

    @property
    def sticky(self) -> bool:
        """Whether a client stays with the pod that it got first."""
        return self.service.spec.session_affinity == "ClientIP"

    @property
    def stays(self) -> bool:
        """Whether what comes from outside must be answered on the node that it comes to."""
        return self.service.spec.external_traffic_policy == "Local"

    def on(self, node: str, *, but: str = "") -> tuple[End, ...]:
        """Return the pods on a node, without one of them."""
        return tuple(one for one in self.ends if one.node == node and one.pod != but)

    def off(self, node: str) -> tuple[End, ...]:
        """Return the pods on all other nodes."""
        return tuple(one for one in self.ends if one.node != node)

    def usable(self, node: str, *, but: str = "") -> tuple[End, ...]:
        """Return the pods that somebody on a node may be answered by, by the ClusterIP; `but`: no request is its own.

        A client that stays with one pod may have been given itself, and then all its requests are.
        """
        local = self.service.spec.internal_traffic_policy == "Local"
        but = "" if self.sticky else but
        return tuple(one for one in self.ends if one.pod != but and (not local or one.node == node))


@dataclass(frozen=True, kw_only=True)
class Ground:
    """A lab's machines and Services' ports, as expectations name them; the main one is tried from everywhere."""

    cluster: Cluster
    fronts: tuple[Front, ...]

    @cached_property
    def main(self) -> Front | None:
        """The first port that speaks TCP and has endpoints."""
        return next((one for one in self.fronts if one.protocol == "TCP" and one.ends), None)

    @cached_property
    def datagrams(self) -> Front | None:
        """The first port that speaks UDP and has endpoints."""
        return next((one for one in self.fronts if one.protocol == "UDP" and one.ends), None)

    @cached_property
    def nodes(self) -> tuple[str, ...]:
        """The nodes' names."""
        return tuple(one.metadata.name for one in self.cluster.nodes)

    @cached_property
    def clients(self) -> tuple[str, ...]:
        """The machines outside the cluster."""
        return tuple(f"client/{one.name}" for one in self.cluster.spec.clients)

    @cached_property
    def askers(self) -> dict[str, str]:
        """For each node a pod on it that asks: one that is no endpoint, if there is one."""
        behind = {end.pod for front in self.fronts for end in front.ends}
        found: dict[str, str] = {}
        pods = [one for one in self.cluster.pods if not one.spec.host_network and one.ready and not one.terminating]
        for pod in sorted(pods, key=lambda one: typed(one) in behind):
            found.setdefault(pod.spec.node_name, typed(pod))
        return {node: found[node] for node in self.nodes if node in found}

    def kept(self, asker: str) -> str:
        """Return the source that a server must see when a pod asks: the pod, unless kube-proxy masquerades all."""
        proxy = self.cluster.proxy
        return "" if proxy.iptables.masquerade_all or proxy.nftables.masquerade_all else asker

    def routed(self, address: IPAddress) -> bool:
        """Return whether the router sends an address to a node."""
        return any(address in one.to for one in self.cluster.spec.network.routes)


def ground(cluster: Cluster) -> Ground:
    """Return who is there in a lab."""
    nodes = {shown(pod.metadata): pod for pod in cluster.pods}
    return Ground(cluster=cluster, fronts=tuple(_fronts(cluster, nodes)))


def _fronts(cluster: Cluster, pods: dict[str, Pod]) -> Iterable[Front]:
    for service, row in zip(cluster.services, service_rows(cluster), strict=True):
        if not cluster_ips(service):
            continue
        for port, found in zip(service.spec.ports, row.ports, strict=True):
            if port.protocol != "SCTP":
                yield Front(service=service, port=port, external=row.external, ends=_ends(found, pods))


def _ends(row: PortRow, pods: dict[str, Pod]) -> tuple[End, ...]:
    known = [(pods[one.pod], one.port) for one in row.endpoints if one.ready and one.pod in pods]
    return tuple(dict.fromkeys(End(pod=typed(pod), node=pod.spec.node_name, port=port) for pod, port in known))


def typed(pod: Pod) -> str:
    """Return the text that means a pod and no other: `pod/web-1`, `pod/kube-system/dns-1`."""
    meta = pod.metadata
    return f"pod/{meta.name}" if meta.namespace == "default" else f"pod/{meta.namespace}/{meta.name}"


def asked(it: str, source: str, front: Front, ends: Sequence[End], *, keeps: str = "", to: str = "") -> Expectation:
    """Return that each of `ends` answers some of many requests to a port, and sees the source that it `keeps`.

    `to`: another way to the port than its ClusterIP. Where a client stays with one pod, any of them will do; if
    that may be the client itself, it keeps nothing.
    """
    by = tuple(one.pod for one in ends)
    keeps = "" if front.sticky and source in by else keeps
    return Expectation(
        it=it,
        from_=source,
        to=to or front.to,
        protocol="udp" if front.protocol == "UDP" else "tcp",
        answer=Answer(by=by, source=keeps),
        shares=None if front.sticky else "some",
    )
