"""What only one object of a cluster can have: its name, its ClusterIPs, its node ports."""

from __future__ import annotations

from dataclasses import dataclass, field

from lab.model import kubernetes as k8s
from lab.model.proxy_config import KubeProxyConfiguration
from lab.parse.mistake import Mistakes, Path, show

_SPACED = (k8s.Service, k8s.EndpointSlice, k8s.Pod)


@dataclass(slots=True)
class Claims:
    """Who has what, so far."""

    owners: dict[tuple[str, ...], str] = field(default_factory=dict)

    def make(self, one: k8s.Object, out: Mistakes) -> None:
        """Note what an object has, or report that another one has it."""
        if isinstance(one, KubeProxyConfiguration):
            return
        meta = one.metadata
        spaced = isinstance(one, _SPACED)
        key = (one.kind, meta.namespace if spaced else "", meta.name)
        if key in self.owners:
            where = f" in the namespace {meta.namespace}" if spaced else ""
            text = f"there is a {one.kind} {show(meta.name)}{where} already; expected it once"
            out.add(0, ("metadata", "name"), text)
            return
        self.owners[key] = ""
        if isinstance(one, k8s.Service) and one.spec.type != "ExternalName":
            self._service(one, out)

    def _service(self, one: k8s.Service, out: Mistakes) -> None:
        spec, who = one.spec, f"Service {one.metadata.namespace}/{one.metadata.name}"
        for index, text in enumerate(spec.cluster_ips or (spec.cluster_ip,)):
            if text not in ("", "None"):
                path: Path = ("clusterIPs", index) if spec.cluster_ips else ("clusterIP",)
                self._claim(("address", text), f"the ClusterIP {text}", who, ("spec", *path), out)
        for index, port in enumerate(spec.ports):
            if port.node_port:
                path = ("spec", "ports", index, "nodePort")
                what = f"{port.node_port}/{port.protocol}"
                self._claim(("port", what), f"the node port {what}", f"{who} (ports[{index}])", path, out)
        if spec.health_check_node_port:
            what = f"{spec.health_check_node_port}/TCP"
            path = ("spec", "healthCheckNodePort")
            self._claim(("port", what), f"the node port {what}", f"{who} (health check)", path, out)

    def _claim(self, key: tuple[str, str], what: str, who: str, path: Path, out: Mistakes) -> None:
        owner = self.owners.setdefault(key, who)
        if owner != who:
            out.add(0, path, f"{what} is taken: {owner} has it; expected one that is free")
