"""The text of a topology to its objects, and to every mistake of it at once, in the order of the file."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from msgspec.structs import fields

from lab.errors import TopologyError
from lab.model import kubernetes as k8s
from lab.model.lab import Lab
from lab.model.proxy_config import KubeProxyConfiguration
from lab.parse import config_rules, names
from lab.parse.check import convert
from lab.parse.mistake import LAB, Mistake, Mistakes, listed, nearest, show, show_path
from lab.parse.yaml import Document, Spot, documents

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from msgspec import Struct

    from lab.parse.mistake import Path

KINDS: dict[str, type[Struct]] = {
    kind.__name__: kind
    for kind in (
        Lab, k8s.Node, k8s.Pod, k8s.Deployment, k8s.Service, k8s.EndpointSlice, k8s.ServiceCIDR,
        KubeProxyConfiguration,
    )
}  # fmt: skip
API_VERSIONS: dict[str, str] = {
    name: next(field.default for field in fields(kind) if field.name == "api_version") for name, kind in KINDS.items()
}
ONLY_ONE = {"Lab": "a topology has one Lab document", "KubeProxyConfiguration": "every node has the same kube-proxy"}
MINIMAL = """add one:
    ---
    apiVersion: hairpin/v1alpha1
    kind: Lab
    metadata: {name: my-lab}
    spec:
      nodes: [node-1, node-2]"""


PASSED_OVER = frozenset({
    "ClusterRole", "ClusterRoleBinding", "ConfigMap", "CustomResourceDefinition", "Endpoints", "Event",
    "HorizontalPodAutoscaler", "Ingress", "IngressClass", "Lease", "LimitRange", "Namespace", "NetworkPolicy",
    "PersistentVolume", "PersistentVolumeClaim", "PodDisruptionBudget", "PriorityClass", "ResourceQuota", "Role",
    "RoleBinding", "RuntimeClass", "Secret", "ServiceAccount", "StorageClass",
})  # fmt: skip
"""Kinds that manifests have beside Services and pods, and that kube-proxy does not look at. (What makes pods, such as a
DaemonSet, is not among them: nothing here would make them.)"""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an object stands: its document, and the path to it (not empty in a List)."""

    document: Document
    path: Path


@dataclass(slots=True)
class Found:
    """What a file holds: the objects by number, where each of them stands, and the mistakes so far.

    `spots` are what the YAML itself has of mistakes; the Lab document's number is -1, others count from 0.
    """

    lab: Lab | None = None
    objects: dict[int, k8s.Object] = field(default_factory=dict)
    origins: dict[int, Origin] = field(default_factory=dict)
    kinds: set[str] = field(default_factory=set)
    mistakes: Mistakes = field(default_factory=Mistakes)
    spots: list[Spot] = field(default_factory=list)
    passed_over: Counter[str] = field(default_factory=Counter)

    @property
    def notes(self) -> tuple[str, ...]:
        """What is not read although it is there, in a sentence."""
        if not self.passed_over:
            return ()
        kinds = listed([f"{number} {kind}" for kind, number in self.passed_over.items()], last="and")
        return (f"passed over, since nothing here depends on it: {kinds}",)

    @property
    def broken(self) -> bool:
        """Whether there are mistakes."""
        return bool(self.mistakes.kept or self.spots)

    def judge(self, whole: Mistakes) -> None:
        """Add the mistakes of the lab as a whole: where the objects themselves have some, only what is certain."""
        broken = self.broken
        self.mistakes.follow(one for one in whole.kept if one.certain or not broken)


def objects(text: str, source: str) -> Found:
    """Return the objects of a text, and what is wrong with each of them; raises `TopologyError` if it is no YAML."""
    docs, spots = documents(text, source)
    found = Found(spots=spots)
    for doc in docs:
        for value, path in _values(doc):
            _add(found, value, Origin(doc, path))
    return found


def _values(doc: Document) -> Iterator[tuple[Any, Path]]:
    """Return the objects of a document, each with its path: the document itself, or the items of a List."""
    if not isinstance(doc.value, dict):
        if doc.value is not None:  # a document of comments only
            yield doc.value, ()
        return
    kind = doc.value.get("kind")
    if not isinstance(kind, str) or not kind.endswith("List"):
        yield doc.value, ()
        return
    items = doc.value.get("items")
    if not isinstance(items, list):
        yield doc.value, ()
        return
    for index, item in enumerate(items):
        if isinstance(item, dict) and kind != "List":  # a PodList's items do not say that they are Pods
            item.setdefault("kind", kind.removesuffix("List"))
            item.setdefault("apiVersion", doc.value.get("apiVersion"))
        yield item, ("items", index)


def _add(found: Found, value: Any, origin: Origin) -> None:
    """Make one object of `value`, or note its mistakes."""
    out = found.mistakes
    kind = value.get("kind") if isinstance(value, dict) else None
    at = LAB if kind == "Lab" and LAB not in found.origins else len(found.origins)
    found.origins[at] = origin
    if not isinstance(value, dict):
        out.add(at, (), f"{show(value)} is not a mapping; expected an object with apiVersion, kind and metadata")
        return
    if isinstance(kind, str) and kind in PASSED_OVER:
        found.passed_over[kind] += 1
        return
    if not isinstance(kind, str) or kind not in KINDS:
        out.add(at, ("kind",), _unknown_kind(kind))
        return
    if kind in ONLY_ONE and kind in found.kinds:
        out.add(at, ("kind",), f"this is the second {kind}; expected one: {ONLY_ONE[kind]}")
        return
    found.kinds.add(kind)
    if value.get("apiVersion") is None:
        out.add(at, (), f"the field apiVersion is missing; expected {API_VERSIONS[kind]}")
    one = convert(KINDS[kind], value, at, out)
    if one is None:
        return
    _check_name(one, at, out)
    if isinstance(one, KubeProxyConfiguration):
        config_rules.judge(one, at, out)
    if isinstance(one, Lab):
        found.lab = one
    else:
        found.objects[at] = one


def _unknown_kind(kind: object) -> str:
    if kind is None:
        return f"the field kind is missing; expected {listed(KINDS)}"
    near = nearest(kind, KINDS) if isinstance(kind, str) else ""
    return f"{show(kind)} is no kind that Hairpin reads; expected {listed((*KINDS, 'List'))}" + (
        f"; did you mean {near}?" if near else ""
    )


def _check_name(one: Any, at: int, out: Mistakes) -> None:
    rule = names.BY_KIND.get(one.kind)
    expected = rule(one.metadata.name) if rule else None
    if expected:
        text = f"{show(one.metadata.name)} cannot be the name of a {one.kind}; expected {expected}"
        out.add(at, ("metadata", "name"), text)


def refusal(
    found: Found, source: str, *, lab_wanted: bool = False, standing: Mapping[int, str] | None = None
) -> TopologyError:
    """Return the mistakes of a file in the order of the file.

    `standing`: what objects are called that are not in the file, by number, since a lab has them already.
    """
    placed = [(spot.line, spot.column, spot.text) for spot in found.spots]
    outside = []
    for one in found.mistakes.kept:
        if one.at in found.origins or not standing or one.at not in standing:
            placed.append(_place(found, one))
        else:
            where = f" {show_path(one.path)}:" if one.path else ""
            outside.append(f"{source}: in {standing[one.at]}, which stands:{where} {one.text}")
    placed.sort(key=lambda one: one[:2])
    lines = [f"{source}:{line}:{column}: {text}" for line, column, text in placed] + outside
    hint = ""
    if lab_wanted and "Lab" not in found.kinds:
        lines.append(f"{source}: there is no Lab document; expected one beside the Kubernetes objects")
        hint = MINIMAL
    if found.mistakes.more:
        lines.append(f"{source}: and {found.mistakes.more} more mistakes")
    return TopologyError(lines, hint=hint)


def _place(found: Found, one: Mistake) -> tuple[int, int, str]:
    origin = found.origins.get(one.at)
    where = f"{show_path(one.path)}: " if one.path else ""
    if origin is None:  # a Lab document that is not there
        return 1, 1, f"{where}{one.text}"
    line, column = origin.document.position((*origin.path, *one.path), key=one.key)
    return line, column, f"{show_path((*origin.path, *one.path))}: {one.text}" if origin.path or one.path else one.text
