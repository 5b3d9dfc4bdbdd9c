"""What `proxy.explain` answers: the walk through the rules of given objects, or through saved ones."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address

from lab.errors import TopologyError
from lab.model.address import IPAddress, family_of
from lab.model.cluster import CBR, ETH, gateway, node_addresses, pod_cidrs
from lab.model.journey import Explanation, Packet, Vantage
from lab.model.kubernetes import KubeProxyConfiguration
from lab.model.lab import Mode
from lab.model.netfilter import Table
from lab.parse import saved_rules
from lab.parse.cluster_files import ClusterFiles
from lab.parse.mistake import did_you_mean, listed, show
from lab.proxy.config import configure
from lab.proxy.node import render
from lab.proxy.walk import explain

PROTOCOLS = ("tcp", "udp", "sctp")


def packet_of(source: str, to: str, protocol: str) -> Packet:
    """Return the first packet from `source` (an address, with a port or not) to `to` (address and port).

    Raises `TopologyError` if one of them is none.
    """
    if protocol.lower() not in PROTOCOLS:
        raise TopologyError(f"--protocol {show(protocol)}: expected {listed(PROTOCOLS)}")
    sender, source_port = _socket("--from", source, "an address such as 10.244.1.3")
    address, port = _socket("--to", to, "address and port, such as 10.96.0.10:80 or [fd00::a]:80")
    if not port:
        raise TopologyError(f"--to {show(to)}: the port is missing; expected address and port, such as 10.96.0.10:80")
    if sender.version != address.version:
        raise TopologyError(f"--from {sender} --to {address}: expected two addresses of one family")
    return Packet(
        source=sender, source_port=source_port, destination=address, destination_port=port, protocol=protocol.lower()
    )


def _socket(option: str, text: str, expected: str) -> tuple[IPAddress, int]:
    try:
        host, _, port = text[1:].partition("]:") if text.startswith("[") else text.partition(":")
        if text.count(":") > 1 and not text.startswith("["):
            host, port = text, ""
        address, number = ip_address(host.removesuffix("]")), int(port or 0)
    except ValueError:
        raise TopologyError(f"{option} {show(text)}: expected {expected}") from None
    if not 0 <= number <= 65535 or "%" in text:  # noqa: PLR2004 - the highest port
        raise TopologyError(f"{option} {show(text)}: expected {expected}")
    return address, number


def of_objects(
    objects: ClusterFiles,
    settings: KubeProxyConfiguration,
    packet: Packet,
    *,
    node: str = "",
    mode: Mode | None = None,
    local: Sequence[str] = (),
    interface: str = "",
) -> Explanation:
    """Return what happens to `packet` at a node with the rules that kube-proxy makes of `objects`.

    `node`, `mode`: as in `lab.proxy.node.render`. `local`: further addresses of the node. `interface`: the one that the
    packet comes in by, if not the usual one.
    """
    family = family_of(packet.destination)
    config = configure(settings, objects.nodes, family, node=node, mode=mode or settings.mode or "iptables")
    names = [one.metadata.name for one in objects.nodes]
    if node and config.node not in names:
        raise TopologyError(f"--node {show(node)}: expected {listed(names)}{did_you_mean(node, names)}")
    rules = render(
        objects.services,
        objects.slices,
        objects.nodes,
        settings,
        family,
        node=node,
        mode=mode,
        service_cidrs=objects.service_cidrs,
    )
    tables, _ = saved_rules.read(rules.restore_text(), f"rules of {config.node}")
    vantage = vantage_of(objects, settings, config.node, local=_addresses(local), interface=interface)
    return explain(tables, packet, vantage)


def of_rules(
    tables: Sequence[Table], packet: Packet, *, node: str = "", local: Sequence[str] = (), interface: str = ""
) -> Explanation:
    """Return what happens to `packet` on its way through saved rules; `local` are the node's own addresses."""
    own = _addresses(local)
    inferred = []
    if not own:
        inferred.append("the node's addresses are not in the rules: only loopback is taken for its own (--local)")
    vantage = Vantage(
        name=node or "the node",
        addresses=own,
        pod_interface=interface,
        outside_interface=interface,
        inferred=tuple(inferred),
    )
    return explain(saved_rules.of_family(tables, packet.family), packet, vantage)


def _addresses(texts: Sequence[str]) -> frozenset[IPAddress]:
    try:
        return frozenset(map(ip_address, texts))
    except ValueError as error:
        raise TopologyError(f"--local: {error}; expected one of the node's own addresses") from None


def vantage_of(
    objects: ClusterFiles,
    settings: KubeProxyConfiguration,
    name: str,
    *,
    local: frozenset[IPAddress] = frozenset(),
    interface: str = "",
) -> Vantage:
    """Return what the walk needs to know of the node called `name`: its addresses, its pods, its interfaces."""
    own = next((node for node in objects.nodes if node.metadata.name == name), None)
    if own is None:
        gap = f"there is no Node {name}: only loopback, and what --local says, is taken for its own addresses"
        return Vantage(
            name=name, addresses=local, pod_interface=interface, outside_interface=interface, inferred=(gap,)
        )
    pods = pod_cidrs(own)
    bridge, prefix = settings.detect_local.bridge_interface, settings.detect_local.interface_name_prefix
    detected = bridge if settings.detect_local_mode == "BridgeInterface" else ""
    if settings.detect_local_mode == "InterfaceNamePrefix":
        detected = f"{prefix}0"
    return Vantage(
        name=name,
        addresses=local | {*node_addresses(own), *map(gateway, pods)},
        pods=pods,
        pod_interface=interface or detected or CBR,
        outside_interface=interface or ETH,
        pod_is_bridged=settings.detect_local_mode != "InterfaceNamePrefix",
    )
