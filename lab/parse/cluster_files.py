"""A real cluster's objects, as `kubectl get -o yaml` or `-o json` prints them, and kube-proxy's configuration.

JSON is decoded straight into the Structs of lab.model; only an object that does not fit goes the way that explains. A
field that Hairpin does not know is read over here: a cluster may be newer. What the API server would refuse is refused.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from ipaddress import IPv4Address
from pathlib import Path
from socket import AF_INET, inet_pton
from typing import Any

import msgspec
from msgspec import Raw, Struct

from lab.errors import TopologyError
from lab.model import kubernetes as k8s
from lab.model.address import IPAddress
from lab.parse.check import convert
from lab.parse.cluster_rules import judge
from lab.parse.mistake import Mistakes, listed, show, show_path
from lab.parse.quick import uncollected
from lab.parse.topology import decode_text, printable
from lab.parse.values import CUSTOM, decode
from lab.parse.yaml import Document, documents

STDIN = "-"
MAX_BYTES = 512 * 2**20
MAX_YAML_NODES = 5_000_000
CONFIG = "KubeProxyConfiguration"
KINDS: dict[str, type[Struct]] = {
    kind.__name__: kind
    for kind in (k8s.Node, k8s.Service, k8s.EndpointSlice, k8s.ServiceCIDR, k8s.KubeProxyConfiguration)
}
_HINT = "kubectl get nodes,services,endpointslices,servicecidrs -A -o json prints what is needed"


@dataclass(frozen=True, kw_only=True, slots=True)
class ClusterFiles:
    """What kube-proxy works from. `skipped`: how many objects there were of each kind that does not matter to it."""

    nodes: tuple[k8s.Node, ...] = ()
    services: tuple[k8s.Service, ...] = ()
    slices: tuple[k8s.EndpointSlice, ...] = ()
    service_cidrs: tuple[k8s.ServiceCIDR, ...] = ()
    settings: tuple[k8s.KubeProxyConfiguration, ...] = ()
    skipped: Mapping[str, int] = field(default_factory=dict)


class _Head(Struct):
    """As much of an object as it takes to know what it is; a List has items."""

    kind: str = ""
    items: list[Raw] | None = None


_HEAD = msgspec.json.Decoder(_Head)


@dataclass(slots=True)
class _Source:
    """One object as it stands in its file: its kind, and how to have it plain, with its positions."""

    kind: str
    raw: Raw | None
    document: Document | None
    path: tuple[str | int, ...] = ()
    offset: tuple[int, int] = (0, 0)

    def plain(self) -> Any:  # noqa: ANN401 - JSON or YAML
        if self.raw is not None:
            return msgspec.json.decode(self.raw)
        value: Any = self.document.value if self.document else None
        for step in self.path:
            value = value[step]
        return value


def load(files: Iterable[str]) -> ClusterFiles:
    """Return the objects of several files ("-" is standard input); raises `TopologyError` naming file, line, field."""
    return read([(data_of(name), source_of(name)) for name in files])


def settings(name: str) -> k8s.KubeProxyConfiguration:
    """Return the configuration in a file: KubeProxyConfiguration itself, or the ConfigMap that holds one.

    Raises `TopologyError` if there is none, or several.
    """
    found = read([(data_of(name), source_of(name))]).settings
    if len(found) != 1:
        what = "no KubeProxyConfiguration" if not found else f"{len(found)} KubeProxyConfigurations"
        hint = "kubectl -n kube-system get configmap kube-proxy -o yaml prints it"
        raise TopologyError(f"{source_of(name)}: there is {what} here; expected one", hint=hint)
    return found[0]


def source_of(name: str) -> str:
    """Return what messages call a file."""
    return "standard input" if name == STDIN else printable(Path(name))


def data_of(name: str) -> bytes:
    """Return a file's bytes, or those of standard input for "-"; raises `TopologyError` if there are none."""
    source = source_of(name)
    if name == STDIN:
        return sys.stdin.buffer.read()
    try:
        with Path(name).open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise TopologyError(f"{source}: there is no such file") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "it cannot be a file's name"
        raise TopologyError(f"{source}: cannot be read: {reason}") from None
    if len(data) > MAX_BYTES:
        raise TopologyError(f"{source}: larger than {MAX_BYTES // 2**20} MiB", hint=_HINT)
    return data


def read(files: Iterable[tuple[bytes, str]]) -> ClusterFiles:
    """Return the objects of several (data, what to call it); raises `TopologyError` with every mistake."""
    reader = _Reader()
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
        skipped=dict(sorted(reader.skipped.items())),
    )


@dataclass(slots=True)
class _Reader:
    """What was found so far, and what is wrong with it."""

    found: dict[str, list[Any]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    skipped: Counter[str] = field(default_factory=Counter)
    lines: list[str] = field(default_factory=list)
    seen: dict[tuple[str, str, str], str] = field(default_factory=dict)

    def file(self, data: bytes, source: str) -> None:
        """Read one file; `TopologyError` at once if it is neither JSON nor YAML."""
        for one in _json(data) or _yaml(data, source):
            kind = KINDS.get(one.kind)
            if one.kind == "ConfigMap":
                self.config_map(one, source)
            elif kind is not None:
                self.add(one, kind, data, source)
            else:
                self.skipped[one.kind or "object without a kind"] += 1

    def add(self, one: _Source, kind: type[Struct], data: bytes, source: str) -> None:
        """Make an object; if it does not fit, say what is wrong and where."""
        made = None
        mistakes = Mistakes()
        if one.raw is not None and kind is not k8s.KubeProxyConfiguration:
            try:
                made = _decoder(kind).decode(one.raw)
            except (msgspec.MsgspecError, ValueError):
                made = None
        if made is None:
            plain = one.plain()
            if isinstance(plain, dict) and plain.get("addressType") == "FQDN":  # kube-proxy has no use for names
                self.skipped["EndpointSlice of names"] += 1
                return
            made = convert(kind, plain, 0, mistakes)
            mistakes.kept = [wrong for wrong in mistakes.kept if not wrong.text.startswith("unknown field")]
        if made is not None and not mistakes.kept:
            judge(made, mistakes)
            if one.kind != CONFIG:
                self.claim(made, mistakes)
        if mistakes.kept:
            self.lines += _placed(one, mistakes, data, source)
        elif made is not None:
            self.found[one.kind].append(made)

    def claim(self, made: Any, mistakes: Mistakes) -> None:  # noqa: ANN401 - one of KINDS
        """Note the name of an object; there is one of each."""
        key = (type(made).__name__, *made.metadata.key)
        if key in self.seen:
            text = f"there is a {key[0]} {show(key[2])} in the namespace {key[1]} already; expected it once"
            mistakes.add(0, ("metadata", "name"), text)
        self.seen[key] = key[2]

    def config_map(self, one: _Source, source: str) -> None:
        """Read the configuration that a ConfigMap holds; another ConfigMap does not matter."""
        plain = one.plain()
        data = plain.get("data") if isinstance(plain, dict) else None
        text = data.get("config.conf") if isinstance(data, dict) else None
        if isinstance(text, str) and CONFIG in text:
            self.file(text.encode(), f"{source}, config.conf")
        else:
            self.skipped["ConfigMap"] += 1


def _decode(kind: type, value: Any) -> Any:  # noqa: ANN401 - msgspec's dec_hook
    """Make an address or a range of a text; most are IPv4 addresses, which this way takes half the time."""
    if kind == IPAddress and isinstance(value, str):
        try:
            return IPv4Address(inet_pton(AF_INET, value))
        except (OSError, ValueError):
            pass
    rule, _ = CUSTOM[kind]
    if not isinstance(value, str) or rule(value):
        raise ValueError(value)  # what is wrong with it is said when the object is read again
    return decode(kind, value)


@cache
def _decoder(kind: type[Struct]) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind, dec_hook=_decode)


def _json(data: bytes) -> list[_Source] | None:
    """Return the objects of a JSON text, None if it is none."""
    if data.lstrip(b" \t\r\n\xef\xbb\xbf")[:1] not in (b"{", b"["):
        return None
    try:
        return list(_items(msgspec.json.decode(data, type=Raw), ""))
    except msgspec.MsgspecError:
        return None  # YAML's flow style perhaps, or several; else its reader knows the line


def _items(raw: Raw, kind: str) -> Iterator[_Source]:
    head = _HEAD.decode(raw)
    if head.items is None or not head.kind.endswith("List"):
        yield _Source(head.kind or kind, raw, None)
        return
    for item in head.items:
        yield from _items(item, head.kind.removesuffix("List"))


def _yaml(data: bytes, source: str) -> Iterator[_Source]:
    found, spots = documents(decode_text(data, source), source, most=MAX_YAML_NODES)
    if spots:
        raise TopologyError([f"{source}:{spot.line}:{spot.column}: {spot.text}" for spot in spots])
    for document in found:
        value = document.value
        if value is None:  # comments only
            continue
        if not isinstance(value, dict):
            line, column = document.position(())
            raise TopologyError(f"{source}:{line}:{column}: {show(value)} is no object; expected Kubernetes objects")
        kind, items = str(value.get("kind") or ""), value.get("items")
        if not kind.endswith("List") or not isinstance(items, list):
            yield _Source(kind, None, document)
            continue
        for index, item in enumerate(items):
            own = item.get("kind") if isinstance(item, dict) else None
            yield _Source(str(own or kind.removesuffix("List")), None, document, ("items", index))


def _placed(one: _Source, mistakes: Mistakes, data: bytes, source: str) -> Iterator[str]:
    """Yield each mistake with its place; of JSON, the object alone is read again, as YAML, for its positions."""
    document, above, before = one.document, 0, 0
    if one.raw is not None:
        raw = bytes(one.raw)
        start = data.find(raw)
        above, before = data.count(b"\n", 0, start), start - (data.rfind(b"\n", 0, start) + 1)
        text = raw.decode("utf-8", "replace").replace("\t", " ")
        try:
            document = documents(text, source)[0][0]
        except TopologyError:  # JSON that is no YAML: the object's place has to do
            document = None
    for wrong in mistakes.kept:
        path = (*one.path, *wrong.path)
        line, column = document.position(path, key=wrong.key) if document else (1, 1)
        column += before if line == 1 else 0
        where = f"{show_path(path)}: " if path else ""
        yield f"{source}:{line + above}:{column}: {where}{wrong.text}"
    if mistakes.more:
        yield f"{source}: and {mistakes.more} more mistakes in this {one.kind}"


def skipped_text(skipped: Mapping[str, int]) -> str:
    """Return a sentence about what was skipped, "" if nothing was."""
    parts = [f"{number} {kind}" for kind, number in skipped.items()]
    return f"skipped what does not matter to kube-proxy: {listed(parts, last='and')}" if parts else ""
