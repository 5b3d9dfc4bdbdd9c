"""Ops: planned changes to a lab's capsule, as data. `lab.plan` makes them, `lab.standing.build` does them.

`netns` is the name of a network namespace; "" is the capsule's own, which holds the wire between the nodes.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface
from typing import Literal

from lab.model.address import Family, IPAddress, IPNetwork

IPInterface = IPv4Interface | IPv6Interface


@dataclass(frozen=True, kw_only=True, slots=True)
class Namespace:
    """Make the network namespace `netns`, with its loopback up."""

    netns: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Sysctl:
    """Write `value` to `key`, in sysctl(8)'s dotted form, such as `net.ipv4.ip_forward`.

    `optional`: a lab stands on a kernel that refuses it, too.
    """

    netns: str
    key: str
    value: str
    optional: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Bridge:
    """Make a bridge and bring it up; `promiscuous` is kubelet's promiscuous-bridge. `mtu` 0 is the kernel's 1500."""

    netns: str
    name: str
    index: int
    mac: str
    promiscuous: bool = False
    mtu: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Vxlan:
    """Make a VXLAN device (RFC 7348) above the interface `lower`, an index called `lower_name`, and bring it up.

    It sends from `local` to UDP port `port`, learns no MAC from what it receives, and knows no others than `Fdb` says.
    """

    netns: str
    name: str
    index: int
    mac: str
    vni: int
    port: int
    local: IPAddress
    lower: int
    lower_name: str
    mtu: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Veth:
    """Make a veth pair: the near end in `netns` (a port of bridge `master`, when not 0), the far end in `peer_netns`.

    `master_name` is what that bridge is called, for people. Both ends get the index, name and MAC given here, and both
    come up. `mtu` is that of both (0: the kernel's 1500).
    `master` is an index; `hairpin` lets the bridge send a frame back out of the port that it came in by (bridge(8)).
    """

    netns: str
    name: str
    index: int
    mac: str
    peer_netns: str
    peer_name: str
    peer_index: int
    peer_mac: str
    master: int = 0
    master_name: str = ""
    hairpin: bool = False
    mtu: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Address:
    """Give the interface `index` (called `link`) an address; IPv6 without duplicate address detection.

    `prefix_route`: whether the kernel adds a route that says that all of the address's prefix is on this link.
    """

    netns: str
    link: str
    index: int
    address: IPInterface
    prefix_route: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """Add a route; `via` None means on-link, and `kind` blackhole drops in silence (then `index` is 0).

    `onlink`: `via` is on that link, though no address or route says so (ip-route(8)).
    """

    netns: str
    destination: IPNetwork
    via: IPAddress | None = None
    link: str = ""
    index: int = 0
    kind: Literal["unicast", "blackhole"] = "unicast"
    onlink: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Neighbour:
    """Add a permanent neighbour: the whole kernel shares the table, and only permanent entries are not counted."""

    netns: str
    link: str
    index: int
    address: IPAddress
    mac: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Fdb:
    """Tell the VXLAN device `index` (called `link`) which machine's address, `destination`, has `mac` behind it."""

    netns: str
    link: str
    index: int
    mac: str
    destination: IPAddress


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """Load `text` with `tool` (of iptables: the restore program of `family`); first make the nfacct `counters`."""

    netns: str
    tool: Literal["iptables-nft", "iptables-legacy", "nft"]
    family: Family
    text: str
    counters: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Hosts:
    """Names that resolve inside the capsule, as lines of hosts(5); one text per Kubernetes namespace."""

    texts: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Serve:
    """Listen in `netns` on the pod's ports, answering as `pod` (`web-1`, `kube-system/coredns-1`) on `node`."""

    netns: str
    pod: str
    node: str
    addresses: tuple[IPAddress, ...]
    ports: tuple[tuple[Literal["TCP", "UDP"], int], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """Run the command of a pod's `container` in `netns`, and let it listen on `ports` of one of its `addresses`.

    `program` is the file that is run, `argv` what it is told; `env` is its whole environment, `folder` where it starts.
    `namespace` is the pod's Kubernetes namespace, in which names resolve.
    """

    netns: str
    pod: str
    container: str
    program: str
    argv: tuple[str, ...]
    env: tuple[tuple[str, str], ...]
    folder: str
    hostname: str
    namespace: str
    addresses: tuple[IPAddress, ...]
    ports: tuple[tuple[Literal["TCP", "UDP"], int], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Health:
    """Answer health checks in `netns` on `port` of `addresses` (0.0.0.0 and :: mean all) as the kube-proxy of `node`.

    `service` (`namespace/name`) has so many `endpoints` on the node, distinct ready addresses; "" is kube-proxy itself,
    with its `families`. `pod` is what the log calls it. Given again, it answers with what is said then.
    """

    netns: str
    pod: str
    node: str
    addresses: tuple[IPAddress, ...]
    port: int
    service: str = ""
    endpoints: int = 0
    families: tuple[Family, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Delete:
    """Take away what an earlier op made in a namespace that stays; of a veth both ends go."""

    what: Veth | Route | Neighbour | Fdb

    @property
    def netns(self) -> str:
        """Where it is taken away."""
        return self.what.netns


@dataclass(frozen=True, kw_only=True, slots=True)
class Close:
    """Listen no more as the pod `pod` in `netns`, drop its connections, and kill what runs in it."""

    netns: str
    pod: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Remove:
    """Remove the network namespace `netns`, and all that is in it."""

    netns: str


Wire = Namespace | Sysctl | Bridge | Veth | Vxlan | Address | Route | Neighbour | Fdb
"""What the network itself is made of."""

Listener = Serve | Health | Run
"""What the keeper sees to."""

Op = Wire | Rules | Hosts | Listener | Delete | Close | Remove
