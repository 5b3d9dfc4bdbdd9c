"""The words that the iptables rules of a service port are made of, in whichever release's shape.

A rule is written as iptables-save prints it: `-s`, `-d`, `-i`, `-p`, then matches, then the target.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from ipaddress import IPv6Address

from lab.model.address import IPAddress
from lab.model.ruleset import Place
from lab.model.service import Endpoint, ServiceUnit
from lab.proxy.config import Detector, ProxyConfig
from lab.proxy.endpoints import Selection
from lab.proxy.names import address_text, chain_hash, endpoint_text, interface_name, network_text

SERVICES: Place = ("nat", "KUBE-SERVICES")
NODE_PORTS: Place = ("nat", "KUBE-NODEPORTS")
UNSERVED: Place = ("filter", "KUBE-SERVICES")
EXTERNALLY_UNSERVED: Place = ("filter", "KUBE-EXTERNAL-SERVICES")
FIREWALL: Place = ("filter", "KUBE-PROXY-FIREWALL")
HEALTH: Place = ("filter", "KUBE-NODEPORTS")

LOCALHOST_COUNTER = "localhost_nps_accepted_pkts"
MARK_MASQ = "-j KUBE-MARK-MASQ"


@dataclass(frozen=True, slots=True)
class Context:
    """What all service ports of a ruleset have in common.

    `large`: above 1000 endpoints the rules that each endpoint needs carry no comments. `counters`: nfacct is there.
    """

    config: ProxyConfig
    large: bool = False
    counters: bool = True


@dataclass(frozen=True, slots=True)
class Port:
    """A service port with the words that its rules are made of."""

    unit: ServiceUnit
    chosen: Selection
    name: str
    protocol: str
    hash: str

    @property
    def internal(self) -> str:
        """The chain behind the ClusterIP."""
        return f"KUBE-{'SVL' if self.unit.internal_local else 'SVC'}-{self.hash}"

    @property
    def external(self) -> str:
        """The chain that the external chain ends in."""
        return f"KUBE-{'SVL' if self.unit.external_local else 'SVC'}-{self.hash}"

    @property
    def firewalled(self) -> bool:
        """Whether load balancer traffic is limited to source ranges."""
        return bool(self.unit.load_balancer_ips and self.unit.source_ranges)

    def to(self, address: str, comment: str) -> str:
        """Match what goes to the service port at `address` (/32 or /128), with a comment about it."""
        return f"-d {address} {self.at(self.unit.port, comment)}"

    def at(self, port: int, comment: str, match: str = "") -> str:
        """Match what goes to a port (and `match`), with a comment that begins with the service port's name."""
        protocol = self.protocol
        return f'-p {protocol} -m comment --comment "{self.name}{comment}" {match}-m {protocol} --dport {port:d}'


def named(port: Port, endpoint: Endpoint) -> tuple[str, str]:
    """Return the endpoint's chain and its text."""
    text = endpoint_text(endpoint.address, endpoint.port)
    return f"KUBE-SEP-{chain_hash(port.name, port.protocol, text)}", text


def masquerade_internal(port: Port, config: ProxyConfig) -> Iterator[str]:
    """Yield the rule that marks ClusterIP traffic from outside the cluster, so that replies come back through here."""
    address, match = host(port.unit.cluster_ip), port.at(port.unit.port, " cluster IP")
    if config.masquerade_all:
        yield f"-d {address} {match} {MARK_MASQ}"
    elif config.detector:
        source, interface = origin(config.detector, negation="! ")
        yield f"{source}-d {address} {interface}{match} {MARK_MASQ}"


def origin(detector: Detector, *, negation: str = "") -> tuple[str, str]:
    """Return the detector's match as (by source, by interface), one of them empty: -d stands between them."""
    if detector.network:
        return f"{negation}-s {network_text(detector.network)} ", ""
    return "", f"{negation}-i {interface_name(detector.interface)}{'+' if detector.prefix else ''} "


@cache
def chance(count: int) -> str:
    """Match one packet in `count`.

    kube-proxy writes 1/count with ten decimals, the kernel keeps it as a 31-bit fraction, and iptables-save prints
    that with eleven.
    """
    if count == 1:
        return ""
    fraction = round(round(1 / count, 10) * 2**31) / 2**31
    return f"-m statistic --mode random --probability {fraction:.11f} "


def refusal(port: Port) -> str:
    """Return the target that refuses a packet for good."""
    answer = "icmp6-port-unreachable" if isinstance(port.unit.cluster_ip, IPv6Address) else "icmp-port-unreachable"
    return f"-j REJECT --reject-with {answer}"


def recent_mask(port: Port) -> str:
    """Return the mask that makes xt_recent remember whole addresses, as iptables-save prints it."""
    return ":".join(["ffff"] * 8) if isinstance(port.unit.cluster_ip, IPv6Address) else "255.255.255.255"


def host(address: IPAddress) -> str:
    """Return `address/32` or `address/128`, as iptables-save prints a single address."""
    return f"{address_text(address)}/{address.max_prefixlen}"
