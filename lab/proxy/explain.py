"""What `proxy.explain` answers: the walk through the rules of given objects, or through saved ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING

from lab.errors import TopologyError
from lab.model.address import IPAddress
from lab.model.cluster import CBR, ETH, external_addresses, full_name, gateway, node_addresses, pod_cidrs
from lab.model.kubernetes import Node
from lab.model.lab import Mode, Release
from lab.model.labels import SERVICE_NAME
from lab.model.netfilter import Table
from lab.model.proxy_config import KubeProxyConfiguration
from lab.model.walk import Explanation, Packet, Vantage
from lab.parse import saved_rules
from lab.parse.mistake import did_you_mean, listed, show
from lab.parse.sloppy import parse_address
from lab.proxy.names import node_name
from lab.proxy.node import render
from lab.proxy.walk import explain

if TYPE_CHECKING:
    from lab.parse.cluster_files import ClusterFiles


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """Where the packet is asked about: at which `node` ("": the one that suggests itself), and what is said of it.

    `local`: further addresses of the node. `interface`, `out_interface`: by which the packet comes in, and leaves.
    """

    node: str = ""
    local: Sequence[str] = ()
    interface: str = ""
    out_interface: str = ""


NOTHING = Asked()


def of_objects(
    objects: ClusterFiles,
    settings: KubeProxyConfiguration,
    packet: Packet,
    asked: Asked = NOTHING,
    *,
    mode: Mode | None = None,
    release: Release = "1.36",
) -> Explanation:
    """Return what happens to `packet` at a node with the rules that kube-proxy makes of `objects`.

    `mode`, `release`: as in `lab.proxy.node.render`.
    """
    name, notes = _node(objects, settings, packet, asked.node)
    rules = render(
        objects.services,
        objects.slices,
        objects.nodes,
        settings,
        packet.family,
        node=name,
        mode=mode,
        release=release,
        service_cidrs=objects.service_cidrs,
    )
    tables, _ = saved_rules.read(rules.restore_text(), f"rules of {name}")
    notes = (*notes, *_hints(objects, packet))
    return explain(tables, packet, vantage_of(objects, settings, name, asked, notes=notes))


def of_rules(
    tables: Sequence[Table],
    packet: Packet,
    asked: Asked = NOTHING,
    *,
    objects: ClusterFiles | None = None,
    settings: KubeProxyConfiguration | None = None,
) -> Explanation:
    """Return what happens to `packet` on its way through saved rules.

    `objects` tell the node's own addresses and its pods', if there are any; `settings` which node it is.
    """
    tables = saved_rules.of_family(tables, packet.family)
    if objects and objects.nodes:
        settings = settings or KubeProxyConfiguration()
        name, notes = _node(objects, settings, packet, asked.node)
        notes = (*saved_rules.gaps(tables), *notes)
        return explain(tables, packet, vantage_of(objects, settings, name, asked, notes=notes, saved=True))
    own = _addresses(asked.local)
    gap = "the node's addresses are not in the rules: only loopback is taken for its own (--local ADDRESS tells more)"
    vantage = Vantage(
        name=asked.node or "the node",
        addresses=own,
        in_interface=asked.interface,
        out_interface=asked.out_interface,
        inferred=(*saved_rules.gaps(tables), *(() if own else (gap,))),
    )
    return explain(tables, packet, vantage)


def _addresses(texts: Sequence[str]) -> frozenset[IPAddress]:
    try:
        return frozenset(map(ip_address, texts))
    except ValueError as error:
        raise TopologyError(f"--local: {error}; expected one of the node's own addresses") from None


def _node(
    objects: ClusterFiles, settings: KubeProxyConfiguration, packet: Packet, node: str
) -> tuple[str, tuple[str, ...]]:
    """Return whose rules are asked, and what is to be said of the choice."""
    names = [one.metadata.name for one in objects.nodes]
    home = next((one.metadata.name for one in objects.nodes if _has(one, packet.source)), "")
    if node:
        name = node_name(node)
        if name not in names:
            raise TopologyError(f"--node {show(node)}: expected {listed(names)}{did_you_mean(node, names)}")
        return name, ()
    if settings.hostname_override:
        name = node_name(settings.hostname_override)
        other = f"{packet.source} is on {home}: its packets meet the rules of {home} first (--node {home})"
        return name, (other,) if home not in ("", name) else ()
    asked = home or next((one.metadata.name for one in objects.nodes if _has(one, packet.destination)), "")
    if asked or len(names) == 1:
        return asked or names[0], ()
    if not names:
        raise TopologyError(
            "the objects hold no Node, and no hostnameOverride says whose rules are wanted",
            hint="kubectl get nodes -o yaml prints what is missing",
        )
    return names[0], (f"nothing says which node the packet comes to: {names[0]} is asked (--node asks another)",)


def _has(node: Node, address: IPAddress) -> bool:
    return address in node_addresses(node) or any(address in one for one in pod_cidrs(node))


def _hints(objects: ClusterFiles, packet: Packet) -> Iterator[str]:
    """Yield what may be amiss: another protocol is spoken where the packet goes, or endpoints are not given."""
    for one in objects.services:
        spec = one.spec
        own = map(parse_address, {spec.cluster_ip, *spec.cluster_ips} - {"", "None"})
        if packet.destination not in (*own, *external_addresses(one)):
            continue
        spoken = [port.protocol.lower() for port in one.spec.ports if port.port == packet.destination_port]
        if spoken and packet.protocol not in spoken:
            yield f"{full_name(one)} speaks {listed(spoken)} there, not {packet.protocol} (--protocol {spoken[0]})"
        key = (one.metadata.namespace, one.metadata.name)
        if all((part.metadata.namespace, part.metadata.labels.get(SERVICE_NAME)) != key for part in objects.slices):
            yield f"the objects hold no EndpointSlice of {full_name(one)} (kubectl get endpointslices -A -o yaml)"


def vantage_of(
    objects: ClusterFiles,
    settings: KubeProxyConfiguration,
    name: str,
    asked: Asked = NOTHING,
    *,
    notes: tuple[str, ...] = (),
    saved: bool = False,
) -> Vantage:
    """Return what the walk needs to know of the node called `name`: its addresses, its pods, its interfaces.

    `saved`: the rules are a real node's, of whose interfaces nothing is taken for granted.
    """
    local = _addresses(asked.local)
    own = next((node for node in objects.nodes if node.metadata.name == name), None)
    if own is None:
        gap = f"there is no Node {name}: only loopback, and what --local says, is taken for its own addresses"
        return Vantage(
            name=name,
            addresses=local,
            in_interface=asked.interface,
            out_interface=asked.out_interface,
            inferred=(gap, *notes),
        )
    pods = pod_cidrs(own)
    return Vantage(
        name=name,
        addresses=local | {*node_addresses(own), *map(gateway, pods)},
        pods=pods,
        pod_interface="" if saved else _pod_interface(settings),
        outside_interface="" if saved else ETH,
        in_interface=asked.interface,
        out_interface=asked.out_interface,
        pod_is_bridged=False if not saved and settings.detect_local_mode == "InterfaceNamePrefix" else None,
        inferred=notes,
    )


def _pod_interface(settings: KubeProxyConfiguration) -> str:
    """Return where pods' packets come in: by the interface that tells them from others, or else the lab's bridge."""
    match settings.detect_local_mode:
        case "BridgeInterface":
            return settings.detect_local.bridge_interface
        case "InterfaceNamePrefix":
            return f"{settings.detect_local.interface_name_prefix}0"
    return CBR
