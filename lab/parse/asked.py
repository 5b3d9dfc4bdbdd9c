"""Who asks whom, as a user says it of a cluster's objects: addresses or names (`svc/web:http`), to a packet."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import TYPE_CHECKING, get_args

from lab.errors import TopologyError
from lab.model.address import Family, IPAddress, family_of
from lab.model.cluster import node_addresses
from lab.model.walk import Packet, Protocol
from lab.parse.mistake import listed, show
from lab.parse.place import Place, find, refuse
from lab.parse.sloppy import parse_address
from lab.parse.target import Destination, destination_among

if TYPE_CHECKING:
    from lab.model.kubernetes import Service
    from lab.parse.cluster_files import ClusterFiles

PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)
_NUMERIC = re.compile(r"[\d.]+(:.*)?|\[?[0-9a-fA-F]*:[0-9a-fA-F]*:.*")  # meant as an address, right or wrong
_HIGHEST_PORT = 65535
_FROM = "an address such as 10.244.1.3"
_TO = "address and port, such as 10.96.0.10:80 or [fd00::a]:80"
_NAMES = "; a name such as web-1 or svc/web:http needs --objects, which hold it"


def packet_of(source: str, to: str, protocol: str = "", objects: ClusterFiles | None = None) -> Packet:
    """Return the first packet from `source` (an address, with a port or not) to `to` (address and port).

    With `objects` both may be names: of Services, Nodes, and pods behind Services. `protocol` "": that of the port
    that `to` names, else tcp. Raises `TopologyError` for what is neither, and for addresses of two families.
    """
    if protocol and protocol.lower() not in PROTOCOLS:
        raise TopologyError(f"--protocol {show(protocol)}: expected {listed(PROTOCOLS)}")
    chosen = tuple(one for one in PROTOCOLS if one == protocol.lower()) or PROTOCOLS
    known = places(objects) if objects and not (_NUMERIC.fullmatch(source) and _NUMERIC.fullmatch(to)) else None
    wanted = family_of(_socket("--to", to, _TO)[0]) if known is None or _NUMERIC.fullmatch(to) else None
    sender, source_port = _sender(source, known, wanted)
    address, port, spoken = _asked(to, known, chosen, family_of(sender))
    if sender.version != address.version:
        raise TopologyError(f"--from {sender} --to {address}: expected two addresses of one family")
    return Packet(source=sender, source_port=source_port, destination=address, destination_port=port, protocol=spoken)


def _sender(text: str, known: list[Place] | None, family: Family | None) -> tuple[IPAddress, int]:
    if known is None or _NUMERIC.fullmatch(text):
        return _socket("--from", text, _FROM + (_NAMES if known is None else ""))
    refuse(text, "who asks")
    place = find(known, text, kinds=("pod", "node"))
    addresses = [one for one in place.addresses if family in {None, family_of(one)}]
    if not addresses:
        raise TopologyError(f"--from {show(text)}: {place.typed} has no {family or ''} address")
    return addresses[0], 0


def _asked(
    text: str, known: list[Place] | None, protocols: tuple[Protocol, ...], family: Family
) -> tuple[IPAddress, int, Protocol]:
    if known is None or _NUMERIC.fullmatch(text):
        address, port = _socket("--to", text, _TO + (_NAMES if known is None else ""))
        if port:
            return address, port, protocols[0]
        raise TopologyError(f"--to {show(text)}: the port is missing; expected address and port, such as 10.96.0.10:80")
    mistakes: list[TopologyError] = []
    for protocol in protocols:  # the first one that the named port speaks
        try:
            found = _destination(known, text, protocol, family)
        except TopologyError as mistake:
            mistakes.append(mistake)
        else:
            return found.address, found.port, protocol
    raise mistakes[0]


def _destination(known: list[Place], text: str, protocol: Protocol, family: Family) -> Destination:
    return destination_among(known, text, source=None, protocol=protocol, family=family)


def _socket(option: str, text: str, expected: str) -> tuple[IPAddress, int]:
    try:
        host, _, port = text[1:].partition("]:") if text.startswith("[") else text.partition(":")
        if text.count(":") > 1 and not text.startswith("["):
            host, port = text, ""
        address, number = ip_address(host.removesuffix("]")), int(port or 0)
    except ValueError:
        raise TopologyError(f"{option} {show(text)}: expected {expected}") from None
    if not 0 <= number <= _HIGHEST_PORT or "%" in text:
        raise TopologyError(f"{option} {show(text)}: expected {expected}")
    return address, number


def places(objects: ClusterFiles) -> list[Place]:
    """Return what has a name among a cluster's objects: Services, Nodes, and the pods that slices name."""
    found = [
        *(
            Place(
                kind="svc",
                name=one.metadata.name,
                namespace=one.metadata.namespace,
                addresses=_cluster_ips(one),
                ports=tuple((port.name, port.port, port.protocol) for port in one.spec.ports),
            )
            for one in objects.services
        ),
        *(Place(kind="node", name=one.metadata.name, addresses=node_addresses(one)) for one in objects.nodes),
    ]
    return [*found, *_pods(objects)]


def _cluster_ips(one: Service) -> tuple[IPAddress, ...]:
    """Return a Service's ClusterIPs, as kube-proxy reads them: leading zeros do not matter."""
    texts = one.spec.cluster_ips or (one.spec.cluster_ip,)
    return tuple(parse_address(text) for text in texts if text not in {"", "None"})


def _pods(objects: ClusterFiles) -> list[Place]:
    addresses: dict[tuple[str, str], dict[IPAddress, None]] = {}
    for one in objects.slices:
        for endpoint in one.endpoints:
            pod = endpoint.target_ref
            if pod and pod.kind == "Pod":
                space = pod.namespace or one.metadata.namespace
                addresses.setdefault((space, pod.name), {}).update(dict.fromkeys(endpoint.addresses[:1]))
    return [
        Place(kind="pod", name=name, namespace=space, addresses=tuple(found))
        for (space, name), found in addresses.items()
    ]
