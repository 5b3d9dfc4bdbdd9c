"""What a user types: a place (`web-1`, `node/node-1`), a destination (`svc/web:http`), a source (`node-1/cbr0`)."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from itertools import chain
from typing import TYPE_CHECKING, Literal

from lab import words
from lab.errors import TopologyError
from lab.model.address import family_of
from lab.model.cluster import ETH, external_addresses, full_name
from lab.model.interfaces import interfaces
from lab.model.kubernetes import HIGHEST_PORT
from lab.parse.mistake import did_you_mean, listed, show
from lab.parse.place import PLACES, Kind, Place, find, places, refuse

if TYPE_CHECKING:
    from lab.model.address import Family, IPAddress
    from lab.model.cluster import Cluster
    from lab.model.request import Transport

NODE: tuple[Kind, ...] = ("node",)
HTTP = 80


@dataclass(frozen=True, kw_only=True, slots=True)
class Destination:
    """Where a request goes: `host` for the Host header, `path` the URL's, `name` what a table calls it (`svc/web`)."""

    address: IPAddress
    port: int
    host: str
    kind: Kind | Literal["address"]
    name: str
    path: str = "/"


def target(cluster: Cluster, text: str) -> Place:
    """Return the place that `text` names, as `web-1`, `pod/web-1`, `pod/ns/name`, `node/node-1`, `client` or `router`.

    It has a network namespace: a command can run there.
    Raises `TopologyError` with what there is, and the nearest name.
    """
    return target_among(places(cluster), text)


def target_among(known: list[Place], text: str) -> Place:
    """Return the place that `text` names, as `target` does, of a lab's `places`."""
    refuse(text, "a place")
    return find(known, text, kinds=PLACES)


def node(cluster: Cluster, text: str) -> Place:
    """Return the node that `text` names; raises `TopologyError` with the nearest name."""
    refuse(text, "a node")
    return find(places(cluster), text, kinds=NODE)


def destination(
    cluster: Cluster,
    text: str,
    *,
    source: Place | None = None,
    protocol: Transport = "tcp",
    port: int | None = None,
    family: Family | None = None,
) -> Destination:
    """Return where a request to `text` goes, asked from `source` (None: from anywhere).

    `text` is `svc/web`, `svc/web:81`, `svc/web:http`, `web.ns`, `pod/web-1:8080`, `node/node-1:30080`, an address
    with a port, or a URL. Without a port: the Service's only one, the pod's only declared one, 80 for a URL.
    A headless Service is what DNS makes of it: the first of its ready endpoints' addresses; its port is what the asker
    says, for nobody translates it.
    `port` is a port given apart; both at once are a mistake. `family`: of several addresses the first one of it.
    Raises `TopologyError`: unknown names with the nearest, a choice of several ports, no address of the family.
    """
    return destination_among(places(cluster), text, source=source, protocol=protocol, port=port, family=family)


def destination_among(
    known: list[Place],
    text: str,
    *,
    source: Place | None,
    protocol: str = "tcp",
    port: int | None = None,
    family: Family | None = None,
) -> Destination:
    """Return where a request goes, as `destination` does, of a lab's `places`."""
    refuse(text, "a destination")
    rest, path, url = _url(text)
    host, port_text = _host_and_port(rest)
    if port is not None and port_text and port_text != str(port):
        raise TopologyError(f"{show(text)} has a port already, and {port} was given beside it; expected one of the two")
    port_text = port_text or ("" if port is None else str(port)) or (str(HTTP) if url else "")
    literal = _address(host)
    if literal is not None:
        if not port_text:
            raise TopologyError(f"{show(text)} has no port; expected one, such as {words.socket(literal, HTTP)}")
        number = _number(port_text, text)
        return Destination(address=literal, port=number, host=host, kind="address", name=host, path=path)
    place = find(known, host, near=(source and source.namespace) or "default")
    number = _port(place, port_text, protocol, text)
    address = _reachable(place, source, text, family)
    return Destination(address=address, port=number, host=_host(place), kind=place.kind, name=place.short, path=path)


def _url(text: str) -> tuple[str, str, bool]:
    """Return what stands before the path, the path, and whether `text` is a URL."""
    scheme, mark, rest = text.partition("://")
    if not mark:
        return text, "/", False
    if scheme.lower() != "http":
        raise TopologyError(f"{show(text)}: {show(scheme)} is not spoken here; expected http")
    host, slash, path = rest.partition("/")
    if not host or not (slash + path).isprintable() or " " in path:
        raise TopologyError(f"{show(text)} is not a URL; expected one such as http://web/hostname")
    return host, f"/{path}", True


def _host_and_port(text: str) -> tuple[str, str]:
    """Return host and port ("" if there is none) of `web:80`, `[fd00::1]:80`, `fd00::1`."""
    if text.startswith("["):
        host, _, port = text[1:].partition("]")
        if _address(host) is None or (port and not port.startswith(":")):
            raise TopologyError(f"{show(text)} is not an address in brackets; expected one such as [fd00::1]:80")
        return host, port[1:]
    if _address(text) is not None:
        return text, ""
    host, colon, port = text.rpartition(":")
    if colon and not port:
        raise TopologyError(f"{show(text)} ends where a port should stand; expected one such as {show(text + '80')}")
    return (host, port) if colon else (text, "")


def port_of(text: str) -> int | None:
    """Return the port of a destination, as `destination` takes it, if it is said in numbers; else None."""
    rest, _, url = _url(text)
    port = _host_and_port(rest)[1] or (str(HTTP) if url else "")
    return int(port) if port.isdecimal() else None


def _address(text: str) -> IPAddress | None:
    try:
        return None if "%" in text else ip_address(text)
    except ValueError:
        return None


def _number(port: str, text: str) -> int:
    if port.isascii() and port.isdecimal() and len(port) <= len(str(HIGHEST_PORT)) and 1 <= int(port) <= HIGHEST_PORT:
        return int(port)
    raise TopologyError(f"{show(text)}: {show(port)} is not a port; expected a number from 1 to {HIGHEST_PORT}")


def _port(place: Place, port: str, protocol: str, said: str) -> int:
    if port.isascii() and port.isdecimal():
        return _number(port, said)
    mine = [one for one in place.ports if one[2] == protocol.upper()]
    if port:
        number = next((number for name, number, _ in mine if name == port), 0)
        if number:
            return number
        near = did_you_mean(port, [name for name, _, _ in mine if name])
        raise TopologyError(f"{place.typed} has no {protocol} port {show(port)}; expected {_ports(mine)}{near}")
    if len(mine) == 1:
        return mine[0][1]
    if mine:
        raise TopologyError(f"{place.typed} has several {protocol} ports; expected {listed(_choices(place, mine))}")
    raise TopologyError(_no_port(place, protocol))


def _no_port(place: Place, protocol: str) -> str:
    """Return that a place declares no port of a protocol; if it has others, how these are asked."""
    text = f"{place.typed} declares no {protocol} port"
    if not place.ports:
        return f"{text}; expected one to be said, as in {place.typed}:{HTTP}"
    text = f"{text}, but {listed((f'{number}/{kind.lower()}' for _, number, kind in place.ports), last='and')}"
    spoken = {kind for _, _, kind in place.ports} & {"TCP", "UDP"}
    if not spoken:
        return f"{text}; expected another destination: only tcp and udp are asked by"
    return f"{text}; expected to be asked by {'tcp (no --udp)' if 'TCP' in spoken else 'udp (--udp)'}"


def _ports(ports: list[tuple[str, int, str]]) -> str:
    return listed(f"{name} ({number})" if name else str(number) for name, number, _ in ports)


def _choices(place: Place, ports: list[tuple[str, int, str]]) -> list[str]:
    return [f"{place.typed}:{name or number}" for name, number, _ in ports]


def _reachable(place: Place, asker: Place | None, text: str, family: Family | None) -> IPAddress:
    families = {family_of(one) for one in asker.addresses} if asker else set()
    for one in place.addresses or place.published:
        if (not families or family_of(one) in families) and family in {None, family_of(one)}:
            return one
    if family and any(family_of(one) != family for one in place.addresses or place.published):
        raise TopologyError(f"{show(text)}: {place.typed} has no {family} address; expected one of its families")
    if place.kind == "svc" and not (place.addresses or place.published):
        why = "has no address: no ClusterIP, nor, if it is headless, a ready endpoint; expected a pod of it"
    else:
        why = f"has no address that {asker.name if asker else 'anybody'} could reach"
    raise TopologyError(f"{show(text)}: {place.typed} {why}")


def _host(place: Place) -> str:
    return f"{place.name}.{place.namespace}" if place.kind == "svc" and place.elsewhere else place.name


def sources(cluster: Cluster, text: str) -> frozenset[IPAddress]:
    """Return the addresses that `text` may mean: a pod, a client, `router`, an address, or one of a node's.

    `node-1` is any address of the node; `node-1/eth0` its InternalIPs; `node-1/cbr0` its bridge's. Where pods have
    cables of their own (plugin ptp) `node-1/gateway` is what the node's end of each has; `node-1/flannel.1` (overlay
    vxlan) its tunnel's.
    Raises `TopologyError` with the nearest name.
    """
    return sources_among(cluster, places(cluster), text)


def sources_among(cluster: Cluster, known: list[Place], text: str) -> frozenset[IPAddress]:
    """Return addresses as `sources` does, of a lab's `places`."""
    refuse(text, "an address")
    literal = _address(text)
    if literal is not None:
        return frozenset((literal,))
    name, slash, link = text.removeprefix("node/").partition("/")
    for node in cluster.nodes:
        if node.metadata.name == name and (slash or text.startswith("node/") or _is_node(known, text)):
            links = interfaces(cluster, node)
            if not slash:
                return frozenset(chain.from_iterable(links.values()))
            if link in links:
                return frozenset(links[link])
            near = did_you_mean(link, links)
            raise TopologyError(f"{name} has no interface {show(link)}; expected {listed(links)}{near}")
    return frozenset(find(known, text, kinds=PLACES).addresses)


def _is_node(known: list[Place], text: str) -> bool:
    return find(known, text, kinds=PLACES).kind == "node"


def names(cluster: Cluster) -> dict[IPAddress, str]:
    """Return who has which address: `web-1`, `svc/web`, `node-1`, `node-1/cbr0`, `client`, `router`."""
    found: dict[IPAddress, str] = {}
    for node in cluster.nodes:
        name = node.metadata.name
        for link, addresses in interfaces(cluster, node).items():
            found.update(dict.fromkeys(addresses, name if link == ETH else f"{name}/{link}"))
    for place in places(cluster):
        for one in place.addresses:
            found.setdefault(one, place.short)
    for service in cluster.services:
        for one in external_addresses(service):
            found.setdefault(one, full_name(service))
    return found
