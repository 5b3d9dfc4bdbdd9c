"""Names and addresses as they appear in rules, and the one place that keeps anything else out of them.

Every word of a rule that comes from an object is made here: a service port's name, a chain's hash, an address, an
interface. Objects are validated when they are read; what slipped through raises `TopologyError` here instead of
becoming rule text.
"""

from __future__ import annotations

import re
from functools import lru_cache
from hashlib import sha256
from ipaddress import IPv4Address, IPv6Address
from socket import inet_ntoa

from lab.errors import TopologyError
from lab.model.address import IPAddress, IPNetwork
from lab.model.kubernetes import Protocol

_LABEL = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"  # RFC 1123 label: what Services, namespaces and ports are named
_LABELS = re.compile(rf"{_LABEL}/{_LABEL}(?::{_LABEL})?")
_NODE = re.compile(r"[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?")
_INTERFACE = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.:@-]{0,14}")  # dev_valid_name() allows more, a shell and a rule less
_BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"  # RFC 4648; base64.b32encode takes twice the time for a single hash
_PAIRS = [first + second for first in _BASE32 for second in _BASE32]
_SHIFTS = range(70, -1, -10)
_SHORT_SHIFTS = range(30, -1, -10)
_NFT_NAME_MAX = 240  # chainNameBaseLengthMax: nft allows 255, of which the longest prefix takes 9
_COMMENT = re.compile(rf"({_LABELS.pattern})(?: .*|)")
_NFT_CHAIN = re.compile(
    r"(?:service|local|external|firewall|endpoint)-[A-Z2-7]{8}-([^/]+)/([^/]+)/(?:tcp|udp|sctp)/(.*)"
)
_PROTOCOLS = {"TCP": "tcp", "UDP": "udp", "SCTP": "sctp"}


def service_port_name(namespace: str, name: str, port: str) -> str:
    """Return `namespace/name:port`, without the colon when the port has no name (ServicePortName.String, types.go)."""
    text = f"{namespace}/{name}:{port}" if port else f"{namespace}/{name}"
    if not _LABELS.fullmatch(text):
        raise TopologyError(
            f"service port {text!r}: cannot stand in a rule: namespace, name and port name consist of a-z, 0-9 and -"
        )
    return text


def protocol_name(protocol: Protocol) -> str:
    """Return the protocol as iptables and nft call it: `tcp`, `udp` or `sctp`."""
    try:
        return _PROTOCOLS[protocol]
    except KeyError:
        raise TopologyError(f"protocol {protocol!r}: expected TCP, UDP or SCTP") from None


def address_text(address: IPAddress) -> str:
    """Return an address as rules print it; one with a zone (`fe80::1%eth0`) means nothing to another machine."""
    if isinstance(address, IPv4Address):
        return inet_ntoa(address.packed)  # a fifth of the time of str(), and there are tens of thousands
    return _ipv6_text(address)


@lru_cache(maxsize=1 << 16)  # an endpoint is printed four times, and printing IPv6 takes microseconds
def _ipv6_text(address: IPv6Address) -> str:
    text = str(address)
    if "%" in text:
        raise TopologyError(f"address {text!r}: cannot stand in a rule: it has a zone")
    return text


def network_text(network: IPNetwork) -> str:
    """Return a network as rules print it, such as `10.244.0.0/16`."""
    return f"{address_text(network.network_address)}/{network.prefixlen}"


def endpoint_text(address: IPAddress, port: int) -> str:
    """Return `address:port`, or `[address]:port` for IPv6 (net.JoinHostPort): how kube-proxy names an endpoint."""
    text = address_text(address)
    return f"[{text}]:{port:d}" if isinstance(address, IPv6Address) else f"{text}:{port:d}"


def interface_name(text: str) -> str:
    """Return the name (or prefix of names) of an interface, if it can be one."""
    if not _INTERFACE.fullmatch(text):
        raise TopologyError(f"interface {text!r}: cannot stand in a rule: expected 1 to 15 letters, digits, _ . : @ -")
    return text


def node_name(text: str) -> str:
    """Return a node's name as kube-proxy reads it: trimmed and in lower case (nodeutil.GetHostname)."""
    name = text.strip().lower()
    if not _NODE.fullmatch(name):
        raise TopologyError(f"node name {text!r}: expected a-z, 0-9, - and .")
    return name


def chain_hash(name: str, protocol: str, endpoint: str = "") -> str:
    """Return the sixteen letters that end a chain's name: the start of base32(SHA-256(name + protocol + endpoint)).

    Source: portProtoHash and servicePortEndpointChainName, pkg/proxy/iptables/proxier.go.
    """
    digest = sha256(f"{name}{protocol}{endpoint}".encode()).digest()
    bits = int.from_bytes(digest[:10], "big")  # 80 bits are sixteen letters
    return "".join([_PAIRS[bits >> shift & 1023] for shift in _SHIFTS])


def nft_name(namespace: str, name: str, protocol: str, port: str, endpoint: tuple[IPAddress, int] | None = None) -> str:
    """Return how nftables mode calls a service port (or one endpoint of it), to be put behind `service-` and the like.

    Eight letters of base32(SHA-256(text)), then the text itself: `ULMVA6XW-ns1/svc1/tcp/p80`, or for an endpoint
    `5OJB2KTY-ns1/svc1/tcp/p80__10.180.0.1/80`; what is too long ends in dots, and is told apart by its hash.
    Source: servicePortChainNameBase, servicePortEndpointChainNameBase and hashAndTruncate, pkg/proxy/nftables.
    """
    service_port_name(namespace, name, port)  # refuses what cannot stand in a rule
    text = f"{namespace}/{name}/{protocol}/{port}"
    if endpoint:
        address, number = endpoint
        text += f"__{address_text(address).replace(':', '.')}/{number:d}"
    bits = int.from_bytes(sha256(text.encode()).digest()[:5], "big")  # 40 bits are eight letters
    named = "".join([_PAIRS[bits >> shift & 1023] for shift in _SHORT_SHIFTS]) + "-" + text
    return named if len(named) <= _NFT_NAME_MAX else named[: _NFT_NAME_MAX - 3] + "..."


def service_of_comment(comment: str) -> str:
    """Return the service port that a comment of kube-proxy's begins with (`default/web:http cluster IP`), else ""."""
    found = _COMMENT.fullmatch(comment)
    return found[1] if found else ""


def service_of_chain(name: str) -> str:
    """Return the service port that a chain of nftables mode is called after (`nft_name` is the way there), else ""."""
    found = _NFT_CHAIN.fullmatch(name)
    if not found:
        return ""
    port = found[3].partition("__")[0].rstrip("/")
    return f"{found[1]}/{found[2]}" + (f":{port}" if port else "")
