"""The plan of a lab: complete, the same every time, and within the kernel's bounds."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from lab import topology
from lab.model.cluster import Cluster
from lab.model.kubernetes import (
    Container,
    ContainerPort,
    Node,
    NodeAddress,
    NodeSpec,
    NodeStatus,
    ObjectMeta,
    Pod,
    PodIP,
    PodSpec,
    PodStatus,
)
from lab.model.lab import Client, HairpinMode, Lab, LabMeta, LabSpec, Network, Overlay, Plugin
from lab.model.ops import (
    Address,
    Bridge,
    Delete,
    Fdb,
    Health,
    Hosts,
    Namespace,
    Neighbour,
    Op,
    Remove,
    Route,
    Rules,
    Serve,
    Sysctl,
    Veth,
    Vxlan,
)
from lab.plan import difference, plan
from lab.plan.describe import data, describe, script
from lab.plan.segments import interface_name

GOLDEN = Path(__file__).parent / "golden" / "plan"
T = TypeVar("T")


def pod(name: str, node: int, number: int, *, six: bool = False, namespace: str = "default", host: bool = False) -> Pod:
    ips = [f"10.244.{node}.{number}"] + ([f"fd00:10:244:{node}::{number}"] if six else [])
    return Pod(
        metadata=ObjectMeta(name=name, namespace=namespace),
        spec=PodSpec(
            node_name=f"node-{node}",
            host_network=host,
            containers=(Container(ports=(ContainerPort(container_port=8080), ContainerPort(container_port=80))),),
        ),
        status=PodStatus(pod_ips=tuple(PodIP(ip=ip_address(ip)) for ip in ips)),
    )


def make(
    pods: Iterable[Pod],
    *,
    six: bool = False,
    hairpin: HairpinMode = "hairpin-veth",
    plugin: Plugin = "bridge",
    overlay: Overlay = "none",
    node_count: int = 2,
) -> Cluster:
    network = Network(hairpin_mode=hairpin, plugin=plugin, overlay=overlay)
    if six:
        network = structs.replace(
            network,
            pod_cidr="10.244.0.0/16,fd00:10:244::/56",
            node_cidr="192.168.0.0/24,fd00:192:168::/64",
            client_cidr="198.51.100.0/24,2001:db8:1::/64",
        )
    nodes = []
    for number in range(1, node_count + 1):
        ranges = [f"10.244.{number}.0/24"] + ([f"fd00:10:244:{number}::/64"] if six else [])
        ips = [f"192.168.0.{number + 1}"] + ([f"fd00:192:168::{number + 1}"] if six else [])
        nodes.append(
            Node(
                metadata=ObjectMeta(name=f"node-{number}"),
                spec=NodeSpec(pod_cidrs=tuple(ip_network(text) for text in ranges)),
                status=NodeStatus(addresses=tuple(NodeAddress(type="InternalIP", address=ip) for ip in ips)),
            )
        )
    outside = ["198.51.100.2"] + (["2001:db8:1::2"] if six else [])
    client = Client(name="client", addresses=tuple(ip_address(ip) for ip in outside))
    lab = Lab(metadata=LabMeta(name="test"), spec=LabSpec(clients=(client,), network=network))
    return Cluster(lab=lab, nodes=tuple(nodes), pods=tuple(pods))


PODS = [pod("web-1", 1, 2), pod("web-2", 2, 2), pod("client-a", 1, 3)]


def of(kind: type[T], ops: Iterable[Op]) -> list[T]:
    return [op for op in ops if isinstance(op, kind)]


def interfaces(ops: Iterable[Op]) -> list[tuple[str, str, int]]:
    """Return namespace, name and index of every interface."""
    found = []
    for op in ops:
        if isinstance(op, (Bridge, Vxlan)):
            found.append((op.netns, op.name, op.index))
        elif isinstance(op, Veth):
            found += [(op.netns, op.name, op.index), (op.peer_netns, op.peer_name, op.peer_index)]
    return found


WIRINGS: list[tuple[Plugin, Overlay]] = [("bridge", "none"), ("bridge", "vxlan"), ("ptp", "none"), ("ptp", "vxlan")]
NAMES = st.from_regex(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?", fullmatch=True)


@given(
    st.lists(st.tuples(NAMES, st.sampled_from(["default", "kube-system"])), max_size=12, unique=True),
    st.sampled_from(WIRINGS),
)
def test_interface_names_fit_the_kernel_and_are_unique_whatever_pods_are_called(
    names: list[tuple[str, str]], wiring: tuple[Plugin, Overlay]
) -> None:
    machines = {"router", "client", "node-1", "node-2"}
    pods = [
        pod(name, 1, number, namespace=namespace)
        for number, (name, namespace) in enumerate(names, 2)
        if name not in machines
    ]
    found = interfaces(plan(make(pods, six=True, plugin=wiring[0], overlay=wiring[1])).ops)
    ours = [name for _, name, _ in found if not name.startswith("flannel")]
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,14}", name) for name in ours)
    assert max(Counter((netns, name) for netns, name, _ in found).values()) == 1
    assert max(Counter((netns, index) for netns, _, index in found).values()) == 1


def test_an_interface_is_called_after_its_pod_when_that_fits() -> None:
    names = {op.peer_netns: op.name for op in of(Veth, plan(make(PODS)).ops)}
    assert (names["web-1"], names["client-a"], names["node-1"]) == ("veth-web-1", "veth-client-a", "node-1")


@pytest.mark.parametrize(
    ("prefix", "name"),
    [
        ("veth-", "x" * 11),
        ("veth-", "a.b"),
        ("veth-", "0123456789"),  # would look like a hash, and might be another pod's
        ("", "lo"),
        ("", "wire"),
        ("", "all"),
        ("", "node-1.example.com"),
        ("", "port-0123456789"),
    ],
)
def test_a_name_that_cannot_be_an_interface_is_hashed(prefix: str, name: str) -> None:
    found = interface_name(prefix, name, name)
    assert re.fullmatch((prefix or "port-") + "[0-9a-f]{10}", found)
    assert found != prefix + name
    assert found == interface_name(prefix, name, name)


@pytest.mark.parametrize("six", [False, True])
@pytest.mark.parametrize(("plugin", "overlay"), WIRINGS)
def test_the_same_cluster_gives_the_same_plan(plugin: Plugin, overlay: Overlay, *, six: bool) -> None:
    one, other = (plan(make(PODS, six=six, plugin=plugin, overlay=overlay)) for _ in range(2))
    assert one == other


@pytest.mark.parametrize(("plugin", "overlay"), WIRINGS)
def test_a_pod_more_changes_nothing_of_the_others(plugin: Plugin, overlay: Overlay) -> None:
    before, after = (
        set(plan(make(pods, plugin=plugin, overlay=overlay)).ops) for pods in (PODS, [*PODS, pod("web-3", 2, 9)])
    )
    gone = {op for op in before - after if not isinstance(op, Hosts)}
    assert gone == set()


@pytest.mark.parametrize("six", [False, True])
@pytest.mark.parametrize("plugin", ["bridge", "ptp"])
def test_every_pod_knows_its_gateway_and_the_gateway_knows_the_pod(plugin: Plugin, *, six: bool) -> None:
    ops = plan(make([pod("web-1", 1, 2, six=six), pod("web-2", 2, 2, six=six)], six=six, plugin=plugin)).ops
    macs = (
        {(op.netns, op.name): op.mac for op in of(Veth, ops)}
        | {(op.peer_netns, op.peer_name): op.peer_mac for op in of(Veth, ops)}
        | {(op.netns, op.name): op.mac for op in of(Bridge, ops)}
    )
    known = {(op.netns, op.link, op.address): op.mac for op in of(Neighbour, ops)}
    defaults = [op for op in of(Route, ops) if op.kind == "unicast" and not op.destination.prefixlen]
    assert {op.netns for op in defaults} == {"web-1", "web-2", "node-1", "node-2", "client"}
    assert len(defaults) == 5 * (2 if six else 1)
    for route in defaults:
        assert route.via is not None
        gateway = next((op.netns, op.link) for op in of(Address, ops) if op.address.ip == route.via)
        assert known[route.netns, route.link, route.via] == macs[gateway]
    for address in of(Address, ops):
        if address.netns in {"web-1", "web-2"}:
            link = "cbr0" if plugin == "bridge" else f"veth-{address.netns}"
            assert known[f"node-{address.netns[-1]}", link, address.address.ip] == macs[address.netns, "eth0"]


def test_pods_of_one_node_are_left_to_arp() -> None:
    pods = [pod(f"web-{number}", 1, number) for number in range(2, 52)]
    assert sum(op.netns.startswith("web-") for op in of(Neighbour, plan(make(pods)).ops)) == len(pods)


@pytest.mark.parametrize(("plugin", "overlay"), WIRINGS)
def test_no_mac_is_used_twice(plugin: Plugin, overlay: Overlay) -> None:
    ops = plan(make(PODS, six=True, plugin=plugin, overlay=overlay)).ops
    macs = [op.mac for op in ops if isinstance(op, (Bridge, Vxlan))]
    macs += [mac for op in of(Veth, ops) for mac in (op.mac, op.peer_mac)]
    assert len(macs) == len(set(macs))
    assert all(int(mac[:2], 16) & 3 == 2 for mac in macs), "unicast, locally administered"


@pytest.mark.parametrize(
    ("mode", "hairpin", "promiscuous"),
    [("hairpin-veth", True, False), ("promiscuous-bridge", False, True), ("none", False, False)],
)
def test_hairpin_mode_is_a_flag_of_the_ports_or_of_the_bridge(
    mode: HairpinMode, *, hairpin: bool, promiscuous: bool
) -> None:
    ops = plan(make(PODS, hairpin=mode)).ops
    ports = [op for op in of(Veth, ops) if op.netns == "node-1"]
    assert ports
    assert all(op.hairpin is hairpin for op in ports)
    assert {op.name: op.promiscuous for op in of(Bridge, ops)} == {"wire": False, "lan0": False, "cbr0": promiscuous}
    assert not any(op.hairpin for op in of(Veth, ops) if op.netns not in {"node-1", "node-2"})


def test_the_wire_runs_no_iptables_and_the_nodes_do() -> None:
    keys = {(op.netns, op.key): op.value for op in of(Sysctl, plan(make(PODS)).ops)}
    for program in ("iptables", "ip6tables"):
        assert keys["", f"net.bridge.bridge-nf-call-{program}"] == "0"
        assert keys["node-1", f"net.bridge.bridge-nf-call-{program}"] == "1"


def test_with_cables_of_their_own_pods_are_behind_no_bridge_and_each_has_a_route() -> None:
    ops = plan(make([*PODS, pod("web-3", 1, 4)], plugin="ptp")).ops
    assert {op.netns for op in of(Bridge, ops)} == {"", "router"}
    assert not any(op.master for op in of(Veth, ops) if op.netns == "node-1")
    assert not any(op.key.startswith("net.bridge.") for op in of(Sysctl, ops) if op.netns)
    routed = {str(op.destination): op.link for op in of(Route, ops) if op.netns == "node-1" and op.via is None}
    assert routed == {"10.244.1.2/32": "veth-web-1", "10.244.1.3/32": "veth-client-a", "10.244.1.4/32": "veth-web-3"}
    ends = {(op.link, str(op.address)) for op in of(Address, ops) if op.netns == "node-1" and op.link != "eth0"}
    assert ends == {(link, "10.244.1.1/32") for link in routed.values()}


def test_with_cables_of_their_own_a_pod_sends_all_to_its_gateway_what_is_for_its_neighbours_too() -> None:
    ops = plan(make(PODS, plugin="ptp")).ops
    ways = [(str(op.destination), str(op.via)) for op in of(Route, ops) if op.netns == "web-1"]
    assert ways == [("10.244.1.1/32", "None"), ("10.244.1.0/24", "10.244.1.1"), ("0.0.0.0/0", "10.244.1.1")]
    assert [op.prefix_route for op in of(Address, ops) if op.netns == "web-1"] == [False]


@pytest.mark.parametrize("six", [False, True])
def test_each_node_knows_the_way_to_every_other_node_s_pods_through_the_tunnel(*, six: bool) -> None:
    ops = plan(make(PODS, six=six, overlay="vxlan", node_count=3)).ops
    devices = {(op.netns, op.name): op for op in of(Vxlan, ops)}
    addresses = {(op.address.ip, op.netns): op.link for op in of(Address, ops)}
    assert len(devices) == 3 * (2 if six else 1)
    found = set()
    for (here, link), device in devices.items():
        mine = [op for op in ops if isinstance(op, (Route, Neighbour, Fdb)) and (op.netns, op.link) == (here, link)]
        assert all(op.index == device.index for op in mine)
        for route in of(Route, mine):
            (neighbour,) = [op for op in of(Neighbour, mine) if op.address == route.via]
            (entry,) = [op for op in of(Fdb, mine) if op.mac == neighbour.mac]
            (there,) = [name for (ip, name), _ in addresses.items() if ip == route.via]
            assert devices[there, link].mac == neighbour.mac
            assert (entry.destination, route.onlink) == (devices[there, link].local, True)
            assert (route.via, neighbour.mac) == (route.destination.network_address, devices[there, link].mac)
            found.add((here, there, link))
    assert found == {(here, there, link) for here, link in devices for there, _ in devices if here != there}
    direct = {op.netns for op in of(Route, ops) if op.link == "eth0" and op.destination.prefixlen in {24, 64}}
    assert direct == {"router"}


@pytest.mark.parametrize(("six", "pods"), [(False, 1450), (True, 1430)])
def test_what_a_pod_sends_fits_through_the_tunnels_of_its_families(pods: int, *, six: bool) -> None:
    ops = plan(make(PODS, six=six, overlay="vxlan")).ops
    links = [op for op in ops if isinstance(op, (Veth, Bridge))]
    assert {op.mtu for op in links if op.netns.startswith("node-")} == {pods}
    assert {op.mtu for op in links if not op.netns.startswith("node-")} == {0}
    tunnels = {"flannel.1": 1450} | ({"flannel-v6.1": 1430} if six else {})
    assert {op.name: op.mtu for op in of(Vxlan, ops)} == tunnels


@pytest.mark.parametrize("plugin", ["bridge", "ptp"])
def test_a_pod_that_goes_takes_its_cable_along_with_all_that_was_on_it(plugin: Plugin) -> None:
    old, new = make(PODS, plugin=plugin), make(PODS[:-1], plugin=plugin)
    gone = difference(old, new).after
    assert [op.what.name for op in of(Delete, gone) if isinstance(op.what, Veth)] == ["veth-client-a"]
    left = [(type(op.what).__name__, op.netns) for op in of(Delete, gone) if not isinstance(op.what, Veth)]
    assert left == ([("Neighbour", "node-1")] if plugin == "bridge" else [])
    assert of(Remove, gone) == [Remove(netns="client-a")]


def test_a_node_that_goes_is_forgotten_by_the_tunnels_of_the_others() -> None:
    old, new = (make(PODS, overlay="vxlan", node_count=count) for count in (3, 2))
    gone = [op.what for op in of(Delete, difference(old, new).after)]
    for ops in (gone, difference(new, old).before):
        tunnels = [op for op in ops if isinstance(op, (Neighbour, Fdb, Route)) and op.link == "flannel.1"]
        assert [type(op) for op in tunnels if op.netns == "node-1"] == [Neighbour, Fdb, Route]


def test_ipv6_is_off_in_every_namespace_of_an_ipv4_lab_and_on_in_a_dual_stack_one() -> None:
    key = "net.ipv6.conf.all.disable_ipv6"
    ops = plan(make(PODS)).ops
    assert {op.netns for op in of(Sysctl, ops) if op.key == key} == {"", *(op.netns for op in of(Namespace, ops))}
    dual = of(Sysctl, plan(make(PODS, six=True)).ops)
    assert not any(op.key == key for op in dual)
    assert ("node-1", "1") in {(op.netns, op.value) for op in dual if op.key == "net.ipv6.conf.all.forwarding"}


def test_kube_proxy_s_sysctls_are_set_on_the_nodes_after_the_rules() -> None:
    ops = plan(make(PODS)).ops
    wanted = Sysctl(netns="node-2", key="net.ipv4.conf.all.route_localnet", value="1")
    assert ops.index(wanted) > max(position for position, op in enumerate(ops) if isinstance(op, Rules))
    assert Sysctl(netns="node-1", key="net.netfilter.nf_conntrack_tcp_timeout_established", value="86400") in ops


def test_every_node_gets_rules_of_both_families_for_the_iptables_that_the_lab_asks_for() -> None:
    rules = of(Rules, plan(make(PODS)).ops)
    assert [(op.netns, op.family, op.tool) for op in rules] == [
        ("node-1", "ipv4", "iptables-nft"),
        ("node-1", "ipv6", "iptables-nft"),
        ("node-2", "ipv4", "iptables-nft"),
        ("node-2", "ipv6", "iptables-nft"),
    ]
    assert all(":KUBE-SERVICES - [0:0]\n" in op.text for op in rules)


def test_in_nftables_mode_nft_loads_a_table_of_each_family() -> None:
    cluster = make(PODS)
    nftables = replace(cluster, proxy=structs.replace(cluster.proxy, mode="nftables"))
    rules = of(Rules, plan(nftables).ops)
    assert [(op.netns, op.tool, op.text.splitlines()[0]) for op in rules] == [
        (node, "nft", f"table {family} kube-proxy {{") for node in ("node-1", "node-2") for family in ("ip", "ip6")
    ]
    assert not any(op.counters for op in rules)
    assert "elements = {\n\t\t\t192.168.0.2\n" in rules[0].text  # node ports: on the node's own address


def test_without_nfacct_there_are_no_counters_and_nothing_that_needs_one() -> None:
    assert all(op.counters and "nfacct" in op.text for op in of(Rules, plan(make(PODS)).ops) if op.family == "ipv4")
    for op in of(Rules, plan(make(PODS), nfacct=False).ops):
        assert not op.counters
        assert "nfacct" not in op.text


def test_a_network_namespace_s_name_is_a_file_s_name_however_long_the_pod_s_is() -> None:
    pods = [pod("x" * 252 + letter, 1, number, namespace="n" * 63) for number, letter in enumerate("ab", 2)]
    names = [op.netns for op in of(Namespace, plan(make(pods)).ops) if op.netns.startswith("nnn")]
    assert len(set(names)) == 2
    assert all(len(name) <= 255 for name in names)


def test_the_rest_of_the_world_is_silent() -> None:
    silent = [op for op in of(Route, plan(make(PODS, six=True)).ops) if op.kind == "blackhole"]
    assert [(op.netns, str(op.destination)) for op in silent] == [("router", "0.0.0.0/0"), ("router", "::/0")]


def test_a_host_network_pod_has_no_namespace_and_serves_in_its_node() -> None:
    ops = plan(make([*PODS, pod("agent", 2, 9, host=True)])).ops
    assert "agent" not in {op.netns for op in of(Namespace, ops)}
    (serve,) = [op for op in of(Serve, ops) if op.pod == "agent"]
    assert (serve.netns, serve.addresses) == ("node-2", (ip_address("192.168.0.3"),))


def test_a_pod_serves_each_of_its_ports_once_and_one_without_ports_serves_nothing() -> None:
    silent = Pod(
        metadata=ObjectMeta(name="silent"),
        spec=PodSpec(node_name="node-1"),
        status=PodStatus(pod_ip=ip_address("10.244.1.9")),
    )
    serves = of(Serve, plan(make([pod("web-1", 1, 2), silent])).ops)
    assert [(op.pod, op.ports) for op in serves] == [("web-1", (("TCP", 80), ("TCP", 8080)))]


def test_every_op_is_printed_and_is_json() -> None:
    ops = plan(make(PODS, six=True, overlay="vxlan")).ops
    assert {type(op) for op in ops} == {
        Namespace, Sysctl, Bridge, Veth, Vxlan, Address, Route, Neighbour, Fdb, Rules, Hosts, Serve, Health
    }  # fmt: skip
    assert all(describe(op) for op in ops)
    assert [entry["op"] for entry in data(ops)] == [type(op).__name__.lower() for op in ops]
    fdb = {"op": "fdb", "netns": "node-1", "link": "flannel.1", "index": 102, "mac": "06:51:04:a1:8d:72"}
    assert {**fdb, "destination": "192.168.0.3"} in data(ops)
    gone = Delete(what=of(Fdb, ops)[0])
    assert describe(gone) == "bridge -n node-1 fdb delete 06:51:04:a1:8d:72 dev flannel.1 dst 192.168.0.3 self"


@pytest.mark.parametrize("case", sorted(path.name for path in GOLDEN.iterdir()))
def test_the_plan_is_printed_as_the_commands_that_a_person_would_type(case: str) -> None:
    cluster = topology.load(GOLDEN / case / "lab.yaml").cluster
    ops = [op for op in plan(cluster).ops if not isinstance(op, Rules)]  # these have goldens of their own
    assert script(ops) == (GOLDEN / case / "plan.txt").read_text(encoding="utf-8")


def test_rules_are_printed_whole_behind_the_counters_that_they_need() -> None:
    op = Rules(netns="node-1", tool="iptables-legacy", family="ipv6", text="*nat\nCOMMIT\n", counters=("dropped",))
    assert describe(op) == (
        "ip netns exec node-1 nfacct add dropped\n"
        "ip netns exec node-1 ip6tables-legacy-restore --wait 5 --noflush --counters <<'EOF'\n*nat\nCOMMIT\nEOF"
    )


def test_a_table_is_loaded_by_nft() -> None:
    op = Rules(netns="node-1", tool="nft", family="ipv6", text="table ip6 kube-proxy {\n}\n")
    assert describe(op) == "ip netns exec node-1 nft -f - <<'EOF'\ntable ip6 kube-proxy {\n}\nEOF"
