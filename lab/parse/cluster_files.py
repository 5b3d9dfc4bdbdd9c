"""A real cluster's objects, as `kubectl get -o yaml` or `-o json` prints them, and kube-proxy's configuration.

Each is decoded straight into a Struct of lab.model; only one that does not fit goes the way that explains. A field that
Hairpin does not know is read over here: a cluster may be newer. What an API server refuses, whatever its version, is
refused; what only newer ones refuse, such as leading zeros in addresses, means here what kube-proxy takes it for.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from ipaddress import IPv4Address
from socket import AF_INET, inet_pton
from typing import Any

import msgspec
from msgspec import Struct

from lab.errors import TopologyError
from lab.model import kubernetes as k8s
from lab.model.address import IPAddress
from lab.model.proxy_config import KubeProxyConfiguration
from lab.parse import api_rules, kubeadm
from lab.parse.check import convert
from lab.parse.claims import Claims
from lab.parse.files import data_of, source_of
from lab.parse.kubeadm import Kubeadm
from lab.parse.mistake import Mistakes, did_you_mean, listed
from lab.parse.quick import uncollected
from lab.parse.sources import WHAT, Source, sources
from lab.parse.topology import API_VERSIONS
from lab.parse.values import decode_sloppily

MAX_BYTES = 512 * 2**20
CONFIG = "KubeProxyConfiguration"
GROUPS: dict[str, str] = {
    "Node": "",
    "Service": "",
    "EndpointSlice": "discovery.k8s.io",
    "ServiceCIDR": "networking.k8s.io",
    "Pod": "",
    CONFIG: "kubeproxy.config.k8s.io",
}
KINDS: dict[str, type[Struct]] = {
    kind.__name__: kind for kind in (k8s.Node, k8s.Service, k8s.EndpointSlice, k8s.ServiceCIDR, KubeProxyConfiguration)
}
_WHERE = "kubectl -n kube-system get configmap kube-proxy -o yaml prints it"
_OLD_SLICE = "discovery.k8s.io/v1beta1"  # all there was before Kubernetes 1.21
_IS_CONFIG = re.compile(rf"^\s*[{{,]?\s*\"?kind\"?\s*:\s*\"?{CONFIG}|[{{,]\s*\"kind\"\s*:\s*\"{CONFIG}", re.MULTILINE)
_HOSTNAME = "kubernetes.io/hostname"


@dataclass(frozen=True, kw_only=True, slots=True)
class ClusterFiles:
    """What kube-proxy works from; of a file that was read as a `whole`, also pods and what kubeadm was told.

    `skipped`: how many objects there were of each kind that does not matter to it. `unknown`: the fields of
    configurations that are read over, a sentence each.
    """

    nodes: tuple[k8s.Node, ...] = ()
    services: tuple[k8s.Service, ...] = ()
    slices: tuple[k8s.EndpointSlice, ...] = ()
    service_cidrs: tuple[k8s.ServiceCIDR, ...] = ()
    settings: tuple[KubeProxyConfiguration, ...] = ()
    pods: tuple[k8s.Pod, ...] = ()
    kubeadm: Kubeadm = field(default_factory=Kubeadm)
    skipped: Mapping[str, int] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()


def load(files: Iterable[str]) -> ClusterFiles:
    """Return the objects of several files ("-" is standard input); raises `TopologyError` naming file, line, field."""
    return read([(data_of(name, most=MAX_BYTES, hint=WHAT), source_of(name)) for name in files])


def settings(name: str) -> tuple[KubeProxyConfiguration, tuple[str, ...]]:
    """Return the configuration in a file, and what of it is read over, a sentence each.

    The file holds KubeProxyConfiguration itself, or the ConfigMap that has one. Raises `TopologyError` if there is
    none, or several.
    """
    source = source_of(name)
    found = read([(data_of(name, most=MAX_BYTES, hint=_WHERE), source)])
    if len(found.settings) != 1:
        what = f"{len(found.settings)} KubeProxyConfigurations" if found.settings else "no KubeProxyConfiguration"
        raise TopologyError(f"{source}: there is {what} here; expected one", hint=_WHERE)
    return found.settings[0], found.unknown


def read(files: Iterable[tuple[bytes, str]], *, whole: bool = False, mode: str = "") -> ClusterFiles:
    """Return the objects of several (data, what to call it); raises `TopologyError` with every mistake.

    `whole`: pods and kubeadm's configuration, too. `mode`: what kube-proxy's configuration is taken to say ("": its own
    word), so that one whose mode is not known here can be read.
    """
    reader = _Reader(kinds=KINDS | {"Pod": k8s.Pod} if whole else KINDS, mode=mode)
    with uncollected():
        for data, source in files:
            reader.file(data, source)
    if reader.lines:
        raise TopologyError(reader.lines)
    of = reader.found
    return ClusterFiles(
        nodes=tuple(of["Node"]),
        services=tuple(of["Service"]),
        slices=tuple(of["EndpointSlice"]),
        service_cidrs=tuple(of["ServiceCIDR"]),
        settings=tuple(of[CONFIG]),
        pods=tuple(of.get("Pod", ())),
        kubeadm=reader.kubeadm,
        skipped=dict(sorted(reader.skipped.items())),
        unknown=tuple(reader.unknown),
    )


@dataclass(slots=True)
class _Reader:
    """What was found so far, and what is wrong with it."""

    kinds: Mapping[str, type[Struct]]
    mode: str = ""
    found: dict[str, list[Any]] = field(default_factory=dict)
    kubeadm: Kubeadm = field(default_factory=Kubeadm)
    skipped: Counter[str] = field(default_factory=Counter)
    unknown: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    claims: Claims = field(default_factory=Claims)

    def __post_init__(self) -> None:
        self.found = {kind: [] for kind in self.kinds}

    def file(self, data: bytes, name: str) -> None:
        """Read one file; `TopologyError` at once if it is neither JSON nor YAML."""
        for one in sources(data, name):
            group = one.api_version.rpartition("/")[0]
            if not one.kind:
                text = "the field kind is missing; expected an object with apiVersion, kind and metadata"
                self.lines.append(one.said((), text))
            elif one.kind == "ConfigMap":
                self.config_map(one)
            elif one.kind not in self.kinds:
                self.skipped[one.kind] += 1
            elif not one.api_version:
                expected = f"expected {API_VERSIONS[one.kind]}"
                self.lines.append(one.said((), f"the field apiVersion is missing; {expected}"))
            elif group != GROUPS[one.kind]:  # such as Knative's Service
                self.skipped[f"{one.kind} of {group or 'v1'}"] += 1
            else:
                self.add(one, self.kinds[one.kind])

    def add(self, one: Source, kind: type[Struct]) -> None:
        """Make an object; if it does not fit, say what is wrong and where."""
        out = Mistakes(lenient=True)
        made = _quickly(one, kind)
        if made is None:
            plain = one.plain()
            if isinstance(plain, dict) and plain.get("addressType") == "FQDN":
                self.skipped["EndpointSlice of names"] += 1
                return
            if kind is KubeProxyConfiguration and self.mode and isinstance(plain, dict):
                plain["mode"] = self.mode
            made = convert(kind, _upgraded(plain), 0, out)
        if made is not None:
            rules = Mistakes()
            api_rules.judge(made, 0, rules)
            out.follow(rules.kept)
        if made is not None and not out.kept:
            self.claims.make(made, out)
        if out.kept:
            self.lines += [one.said(wrong.path, wrong.text, key=wrong.key) for wrong in out.kept]
            if out.more:
                self.lines.append(f"{one.file.name}: and {out.more} more mistakes in this {one.kind}")
        elif made is not None:
            self.keep(one, made, out)

    def keep(self, one: Source, made: Any, out: Mistakes) -> None:
        """Note a good object, unless kube-proxy has no use for it."""
        if isinstance(made, k8s.EndpointSlice) and made.address_type == "FQDN":
            self.skipped["EndpointSlice of names"] += 1
        elif isinstance(made, k8s.Service) and made.spec.type != "ExternalName" and not made.spec.cluster_ip:
            self.skipped["Service without a clusterIP"] += 1
        else:
            self.found[one.kind].append(made)
        if isinstance(made, KubeProxyConfiguration):
            for path, near in out.strays:
                text = f"no such field is known: it is read over, as kube-proxy does{did_you_mean(str(path[-1]), near)}"
                self.unknown.append(one.said(path, text, key=True))

    def config_map(self, one: Source) -> None:
        """Read the configuration that a ConfigMap holds; another ConfigMap does not matter."""
        plain = one.plain()
        data = plain.get("data") if isinstance(plain, dict) else None
        texts = data.items() if isinstance(data, dict) else ()
        held = [(key, text) for key, text in texts if isinstance(text, str) and _IS_CONFIG.search(text)]
        for key, text in held:  # config.conf of kubeadm, config of EKS
            self.file(text.encode(), f"{one.file.name}, {key}")
        told = next((text for key, text in texts if key == "ClusterConfiguration"), None)
        if "Pod" in self.kinds and isinstance(told, str):
            self.kubeadm = kubeadm.read(told)
        elif not held:
            self.skipped["ConfigMap"] += 1


def _quickly(one: Source, kind: type[Struct]) -> Any:
    """Return an object that fits, None if what is wrong with it must be told, or noted."""
    if kind is KubeProxyConfiguration:
        return None
    try:
        if one.raw is not None:
            return _decoder(kind).decode(one.raw)
        return msgspec.convert(one.value, kind, dec_hook=_decode)
    except (msgspec.MsgspecError, ValueError):
        return None


@cache
def _decoder(kind: type[Struct]) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind, dec_hook=_decode)


def _decode(kind: type, value: Any) -> Any:
    """Make an address or a range of a text; most are IPv4 addresses, which this way takes half the time."""
    if kind == IPAddress and isinstance(value, str):
        try:
            return IPv4Address(inet_pton(AF_INET, value))
        except (OSError, ValueError):
            pass
    return decode_sloppily(kind, value)


def _upgraded(plain: Any) -> Any:
    """Return an EndpointSlice of Kubernetes before 1.21 as today's: there a topology had the node's name.

    Source: pkg/apis/discovery/v1beta1/conversion.go.
    """
    if not isinstance(plain, dict) or plain.get("apiVersion") != _OLD_SLICE:
        return plain
    for endpoint in plain.get("endpoints") or ():
        topology = endpoint.pop("topology", None) if isinstance(endpoint, dict) else None
        if isinstance(topology, dict) and _HOSTNAME in topology:
            endpoint.setdefault("nodeName", topology[_HOSTNAME])
    return {**plain, "apiVersion": "discovery.k8s.io/v1"}


def skipped_text(skipped: Mapping[str, int]) -> str:
    """Return a sentence about what was skipped, "" if nothing was."""
    parts = [f"{number} {kind}" for kind, number in skipped.items()]
    return f"skipped what does not matter to kube-proxy: {listed(parts, last='and')}" if parts else ""
