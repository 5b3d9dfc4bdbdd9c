"""What is planned is what stands: links, addresses, routes, neighbours, sysctls, rules; and packets go through it."""

from __future__ import annotations

import errno
import os
import re
import select
import socket
import subprocess
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest

from lab import topology
from lab.build import build
from lab.errors import KernelError
from lab.kernel import command, look, netns, rules, sysctl
from lab.model.ops import Address, Bridge, Fdb, Hosts, Namespace, Neighbour, Op, Route, Rules, Sysctl, Veth, Vxlan
from lab.plan import plan
from lab.plan.describe import data, describe

Inside = Callable[..., Any]
T = TypeVar("T")

LAB = """
apiVersion: hairpin/v1alpha1
kind: Lab
metadata: {{name: test}}
spec:
  nodes: [node-1, node-2]
  clients: [{{name: client}}]
  network: {network}
---
apiVersion: v1
kind: Pod
metadata: {{name: web-1, labels: {{app: web}}}}
spec: {{nodeName: node-1, containers: [{{ports: [{{containerPort: 80}}]}}]}}
---
apiVersion: v1
kind: Pod
metadata: {{name: web-2, labels: {{app: web}}}}
spec: {{nodeName: node-2, containers: [{{ports: [{{containerPort: 80}}]}}]}}
---
apiVersion: v1
kind: Pod
metadata: {{name: client-a}}
spec: {{nodeName: node-1}}
---
apiVersion: v1
kind: Service
metadata: {{name: web}}
spec: {{selector: {{app: web}}, ports: [{{port: 80}}]}}
"""
DUAL = (
    "{podCIDR: '10.244.0.0/16,fd00:10:244::/56', serviceCIDR: '10.96.0.0/16,fd00:10:96::/112',"
    " nodeCIDR: '192.168.0.0/24,fd00:192:168::/64', clientCIDR: '198.51.100.0/24,2001:db8:1::/64'}"
)
EMPTY = "{}"
VXLAN = "{overlay: vxlan}"
PTP = "{plugin: ptp}"
DUAL_VXLAN = DUAL.replace("}", ", overlay: vxlan}")
DUAL_PTP = DUAL.replace("}", ", plugin: ptp}")
ALL = DUAL.replace("}", ", plugin: ptp, overlay: vxlan}")
SIX = "{podCIDR: 'fd00:10:244::/56', serviceCIDR: 'fd00:10:96::/112', overlay: vxlan}"


def ops(network: str = EMPTY) -> tuple[Op, ...]:
    return plan(topology.read(LAB.format(network=network), "lab.yaml").cluster).ops


def of(kind: type[T], found: Iterable[Op]) -> list[T]:
    return [op for op in found if isinstance(op, kind)]


def made(wanted: Sequence[Op], look_at: Callable[[], T]) -> T:
    """Build in this capsule and return what `look_at` sees."""
    build(wanted, serve=lambda _: None)
    return look_at()


def machines(wanted: Iterable[Op]) -> list[str]:
    return ["", *(op.netns for op in of(Namespace, wanted))]


def stands(wanted: Sequence[Op]) -> dict[str, set[Any]]:
    """Return what the kernel has, in the words of the plan."""
    seen: dict[str, set[Any]] = {"links": set(), "addresses": set(), "routes": set(), "neighbours": set(), "fdb": set()}
    for name in machines(wanted):
        for link in look.links(name):
            keys = ("name", "index", "mac", "master", "hairpin", "mtu", "up")
            seen["links"].add((name, *(link[key] for key in keys)))
        seen["addresses"] |= {(name, entry["index"], entry["address"]) for entry in look.addresses(name)}
        for entry in look.routes(name):
            index = entry["index"] * (entry["kind"] != "blackhole")  # IPv6 has its blackholes on lo
            seen["routes"].add((name, entry["destination"], entry["via"], index, entry["kind"], entry["onlink"]))
        seen["fdb"] |= {(name, entry["index"], entry["mac"], entry["destination"]) for entry in look.fdb(name)}
        seen["neighbours"] |= {
            (name, entry["index"], entry["address"], entry["mac"])
            for entry in look.neighbours(name)
            if entry["permanent"]
        }
    return seen


def planned(wanted: Iterable[Op]) -> dict[str, set[Any]]:
    """Return what the plan says, in the same words."""
    said: dict[str, set[Any]] = {"links": set(), "addresses": set(), "routes": set(), "neighbours": set(), "fdb": set()}
    for op in wanted:
        match op:
            case Bridge():
                said["links"].add((op.netns, op.name, op.index, op.mac, 0, False, op.mtu or 1500, True))
            case Vxlan():
                said["links"].add((op.netns, op.name, op.index, op.mac, 0, False, op.mtu, True))
            case Veth():
                mtu = op.mtu or 1500
                said["links"].add((op.netns, op.name, op.index, op.mac, op.master, op.hairpin, mtu, True))
                said["links"].add((op.peer_netns, op.peer_name, op.peer_index, op.peer_mac, 0, False, mtu, True))
            case Address():
                said["addresses"].add((op.netns, op.index, op.address))
            case Route():
                destination = str(op.destination) if op.destination.prefixlen else "default"
                said["routes"].add((op.netns, destination, op.via, op.index, op.kind, op.onlink))
            case Neighbour():
                said["neighbours"].add((op.netns, op.index, op.address, op.mac))
            case Fdb():
                said["fdb"].add((op.netns, op.index, op.mac, op.destination))
            case _:
                pass
    return said


@pytest.mark.parametrize("network", [EMPTY, DUAL, VXLAN, DUAL_PTP, ALL], ids=["ipv4", "dual", "vxlan", "ptp", "all"])
def test_what_stands_is_what_was_planned(inside: Inside, network: str) -> None:
    wanted = ops(network)
    seen, said = inside(made, wanted, partial(stands, wanted)), planned(wanted)
    loopbacks = {link for link in seen["links"] if link[1] == "lo" and link[0]}
    assert all(link[-1] for link in loopbacks), "up"
    assert {link for link in seen["links"] if link[2] >= 100} == said["links"]
    assert said["addresses"] <= seen["addresses"]
    extra = seen["addresses"] - said["addresses"]
    assert all(address.ip.is_loopback or address.ip.is_link_local for _, _, address in extra)
    assert said["routes"] <= seen["routes"]
    assert seen["neighbours"] == said["neighbours"]
    assert seen["fdb"] == said["fdb"]


def test_sysctls_are_those_of_the_plan_and_ipv6_is_off_for_links_that_came_later(inside: Inside) -> None:
    wanted = ops()

    def values() -> dict[tuple[str, str], str]:
        keys = {(op.netns, op.key) for op in of(Sysctl, wanted)} | {("web-1", "net.ipv6.conf.eth0.disable_ipv6")}
        seen = {}
        for name, key in keys:
            with netns.inside(name):
                seen[name, key] = sysctl.read(key)
        return seen

    seen = inside(made, wanted, values)
    assert seen.pop(("web-1", "net.ipv6.conf.eth0.disable_ipv6")) == "1"
    assert seen == {(op.netns, op.key): op.value for op in of(Sysctl, wanted)}


@pytest.mark.parametrize(
    ("mode", "hairpin", "promiscuous"),
    [("hairpin-veth", True, False), ("promiscuous-bridge", False, True), ("none", False, False)],
)
def test_hairpin_mode_is_set_on_the_ports_or_on_the_bridge(
    inside: Inside, mode: str, *, hairpin: bool, promiscuous: bool
) -> None:
    found = inside(made, ops(f"{{hairpinMode: {mode}}}"), lambda: look.links("node-1"))
    flags = {link["name"]: (link["hairpin"], link["promiscuous"]) for link in found}
    assert flags["veth-web-1"] == flags["veth-client-a"] == (hairpin, False)
    assert flags["cbr0"] == (False, promiscuous)
    assert flags["eth0"] == (False, False)


def reach(source: str, target: str, address: str, port: int = 8000) -> str:
    """Connect from one machine to a listener in another; return the address that the listener saw, or the errno."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with netns.inside(target), socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # both families take turns
        listener.bind(("", port))
        listener.listen()
        with netns.inside(source), socket.socket(family) as caller:
            caller.settimeout(2)
            try:
                caller.connect((address, port))
            except OSError as error:
                return errno.errorcode.get(error.errno or 0, "timeout")
            listener.settimeout(2)
            peer, seen = listener.accept()
            peer.close()
            return str(seen[0])


@pytest.mark.parametrize(
    ("network", "source", "target"),
    [
        (EMPTY, "client-a", "web-1"),
        (EMPTY, "client-a", "web-2"),
        (EMPTY, "node-1", "web-2"),
        (EMPTY, "client", "node-2"),
        (EMPTY, "web-2", "client"),
        (DUAL, "client-a", "web-1"),
        (DUAL, "web-1", "web-2"),
        (DUAL, "client", "node-1"),
        (DUAL_VXLAN, "web-1", "web-2"),
        (DUAL_VXLAN, "web-2", "client"),
        (DUAL_PTP, "client-a", "web-1"),
        (DUAL_PTP, "client", "web-1"),
        (ALL, "client-a", "web-2"),
    ],
)
def test_machines_reach_each_other_at_once_with_their_own_addresses(
    inside: Inside, network: str, source: str, target: str
) -> None:
    wanted = ops(network)
    by_name = {
        (op.netns, int(op.address.version)): str(op.address.ip) for op in of(Address, wanted) if op.link == "eth0"
    }
    families = [4, 6] if "fd00" in network else [4]

    def all_families() -> list[str]:
        return [reach(source, target, by_name[target, family]) for family in families]

    assert inside(made, wanted, all_families) == [by_name[source, family] for family in families]


WAY = {"link": "flannel.1", "netns": "node-1"}


@pytest.mark.parametrize(
    ("network", "target", "missing"),
    [
        (VXLAN, "web-2", (Fdb, WAY)),
        (VXLAN, "web-2", (Route, WAY)),
        (PTP, "web-1", (Route, {"netns": "node-1", "link": "veth-web-1"})),
    ],
    ids=["FDB entry", "route into the tunnel", "route to the pod"],
)
def test_without_its_part_of_the_way_a_pod_is_not_reached(
    inside: Inside, network: str, target: str, missing: tuple[type, dict[str, str]]
) -> None:
    wanted = ops(network)
    without = [op for op in wanted if not (isinstance(op, missing[0]) and missing[1].items() <= data([op])[0].items())]
    assert len(without) == len(wanted) - 1
    (address,) = [str(op.address.ip) for op in of(Address, wanted) if op.netns == target]
    if missing[0] is Route and network == VXLAN:  # then the router knows a way, past the tunnel
        without = [op for op in without if not (isinstance(op, Route) and op.netns == "router" and op.via)]
    assert inside(made, without, partial(reach, "client-a", target, address)) in {"timeout", "EHOSTUNREACH"}


def test_a_pod_s_address_is_never_on_the_wire_between_nodes_but_within_udp_to_port_8472(inside: Inside) -> None:
    wanted = ops(VXLAN)

    def tapped() -> list[bytes]:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0003)) as tap:  # every protocol
            tap.bind(("node-2", 0))  # the wire's end of the cable to node-2
            assert reach("client-a", "web-2", "10.244.2.2") == "10.244.1.3"
            frames = []
            while select.select([tap], [], [], 0)[0]:
                frames.append(tap.recv(65536))
        return frames

    frames = inside(made, wanted, tapped)
    assert len(frames) >= 4, "a handshake, and an end"
    for frame in frames:
        ip, udp, vxlan, inner = frame[14:34], frame[34:42], frame[42:50], frame[50:]
        assert (ip[9], {ip[12:16], ip[16:20]}) == (17, {bytes((192, 168, 0, 10)), bytes((192, 168, 0, 11))})
        assert int.from_bytes(udp[2:4]) == 8472
        assert int.from_bytes(vxlan[4:7]) == 1, "the network's number, VNI"
        assert {inner[26:30], inner[30:34]} == {bytes((10, 244, 1, 3)), bytes((10, 244, 2, 2))}


@pytest.mark.parametrize(("network", "source", "seen"), [
    (VXLAN, "node-1", "10.244.1.0"),
    (PTP, "node-1", "192.168.0.10"),
    (SIX, "node-1", "fd00:10:244:1::"),
])  # fmt: skip
def test_a_node_reaches_pods_of_others_by_the_address_of_the_way_that_it_takes(
    inside: Inside, network: str, source: str, seen: str
) -> None:
    wanted = ops(network)
    (address,) = [str(op.address.ip) for op in of(Address, wanted) if op.netns == "web-2"]
    assert inside(made, wanted, partial(reach, source, "web-2", address)) == seen


def test_an_address_that_nobody_has_is_silent(inside: Inside) -> None:
    def call() -> str:
        with netns.inside("client-a"), socket.socket() as caller:
            caller.settimeout(0.3)
            try:
                caller.connect(("203.0.113.1", 80))
            except OSError as error:
                return type(error).__name__
        return "answered"

    assert inside(made, ops(), call) == "TimeoutError"


@pytest.mark.parametrize("tool", ["iptables-nft", "iptables-legacy"])
def test_the_rules_of_each_node_and_family_are_loaded(inside: Inside, tool: rules.Tool) -> None:
    from dataclasses import replace  # noqa: PLC0415

    wanted = [replace(op, tool=tool) if isinstance(op, Rules) else op for op in ops()]

    def saved() -> dict[tuple[str, str], str]:
        return {(op.netns, op.family): rules.save(op.netns, tool, op.family) for op in of(Rules, wanted)}

    seen = inside(made, wanted, saved)
    assert len(seen) == 4
    for op in of(Rules, wanted):
        kept = seen[op.netns, op.family]
        assert {line for line in op.text.splitlines() if line.startswith("-A")} <= {
            line.partition("] ")[2] for line in kept.splitlines() if line.startswith("[")
        }


def nftables_ops() -> tuple[Op, ...]:
    settings = "---\napiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmode: nftables\n"
    return plan(topology.read(LAB.format(network=EMPTY) + settings, "lab.yaml").cluster).ops


def test_in_nftables_mode_each_node_has_a_table_of_each_family_and_nothing_of_iptables(inside: Inside) -> None:
    def listed() -> dict[str, str]:
        return {node: command.check(("nft", "list", "ruleset"), netns=node) for node in ("node-1", "node-2")}

    for listing in inside(made, nftables_ops(), listed).values():
        tables = sorted(re.findall(r"^table .*", listing, flags=re.MULTILINE))
        assert tables == ["table ip kube-proxy {", "table ip6 kube-proxy {"]
        assert "10.96.0.10 . tcp . 80 : goto service-" in listing


@pytest.mark.parametrize("planned_ops", [ops, nftables_ops])
def test_a_service_answers_through_the_rules_also_when_client_and_endpoint_share_a_bridge(
    inside: Inside, planned_ops: Callable[[], tuple[Op, ...]]
) -> None:
    def seen() -> set[str]:
        found = set()
        for _ in range(20):
            with netns.inside("web-1"), socket.socket() as one, netns.inside("web-2"), socket.socket() as two:
                for listener in (one, two):
                    listener.bind(("", 80))
                    listener.listen()
                with netns.inside("client-a"), socket.create_connection(("10.96.0.10", 80), timeout=2) as caller:
                    caller.settimeout(2)
                    found.add(caller.getpeername()[0])
        return found

    assert inside(made, planned_ops(), seen) == {"10.96.0.10"}


def test_counters_that_exist_are_left_and_the_kernel_is_asked_whether_it_has_any(inside: Inside) -> None:
    def twice() -> bool:
        netns.create("node")
        for _ in range(2):
            rules.add_counters("node", ["first", "second"])
        return rules.nfacct_available()

    assert inside(twice) is True


def test_a_rule_set_larger_than_one_transaction_may_be_is_loaded_whole(inside: Inside) -> None:
    count = 1200
    lines = [f":KUBE-SEP-{number} - [0:0]\n" for number in range(count)]
    lines += [f'-A KUBE-SVC -m comment --comment "to {n}" -j KUBE-SEP-{n}\n' for n in range(count)]
    lines += [f'-A KUBE-SEP-{n} -p tcp -m comment --comment "pod {n}" -j RETURN\n' for n in range(count)]
    text = "*nat\n:KUBE-SVC - [0:0]\n" + "".join(lines) + "-A PREROUTING -j KUBE-SVC\nCOMMIT\n"

    def load() -> str:
        netns.create("node")
        rules.restore([rules.Load(netns="node", tool="iptables-nft", family="ipv4", text=text)])
        return rules.save("node", "iptables-nft", "ipv4")

    kept = [line.partition("] ")[2] + "\n" for line in inside(load).splitlines() if line.startswith("[")]
    assert [line for line in kept if " KUBE-SVC " in line] == [line for line in lines if "-A KUBE-SVC " in line]
    assert len(kept) == 2 * count + 1


def test_rules_that_are_refused_are_named_with_their_node(inside: Inside) -> None:
    text = "*nat\n:KUBE-SVC - [0:0]\n-A KUBE-SVC -j NOWHERE\nCOMMIT\n"

    def load() -> None:
        netns.create("node-9")
        rules.restore([rules.Load(netns="node-9", tool="iptables-nft", family="ipv4", text=text)])

    with pytest.raises(KernelError, match=r"in node-9: iptables-nft-restore .*: exit \d+: (.|\n)*NOWHERE"):
        inside(load)


def test_the_names_of_the_lab_are_files_and_the_default_one_is_etc_hosts(inside: Inside) -> None:
    texts = (("default", "127.0.0.1 localhost\n10.96.0.10 web\n"), ("other", "10.96.0.10 web.default\n"))
    read = partial(
        made,
        [Hosts(texts=texts)],
        lambda: [Path("/etc/hosts").read_text(), Path("/run/hairpin/hosts.other").read_text()],
    )
    assert inside(read) == [texts[0][1], texts[1][1]]


def test_pods_are_served_after_everything_else_stands(inside: Inside) -> None:
    wanted = ops()

    def order() -> list[Any]:
        events: list[Any] = []
        build(wanted, serve=events.append, progress=lambda phase, done, total: events.append((phase, done, total)))
        return events

    events = inside(order)
    assert [op.netns for op in events[-2]] == ["web-1", "web-2", "node-1", "node-2"]  # a node answers for its health
    assert events[-1] == ("pods", 4, 4)
    phases = list(dict.fromkeys(event[0] for event in events if isinstance(event, tuple) and isinstance(event[0], str)))
    assert phases == ["namespaces", "links", "addresses", "rules", "sysctls", "names", "pods"]
    assert all(done <= total for phase, done, total in (event for event in events if len(event) == 3))


def test_a_refused_op_is_named_as_the_plan_prints_it(inside: Inside) -> None:
    wanted = list(ops())
    address = of(Address, wanted)[0]
    position = wanted.index(address)
    wanted.insert(position, address)
    with pytest.raises(KernelError) as caught:
        inside(made, wanted, lambda: None)
    assert caught.value.message.startswith(f"{describe(address)}: ")
    assert "(EEXIST)" in caught.value.message


def test_a_sysctl_that_is_not_there_is_named_with_its_place(inside: Inside) -> None:
    wanted = [Namespace(netns="node-1"), Sysctl(netns="node-1", key="net.bridge.bridge-nf-call-nothing", value="1")]
    with pytest.raises(
        KernelError, match=r"in node-1: sysctl net.bridge.bridge-nf-call-nothing=1: .* \(ENOENT\)"
    ) as caught:
        inside(made, wanted, lambda: None)
    assert "br_netfilter" in caught.value.hint


def test_a_namespace_that_exists_is_not_taken_over(inside: Inside) -> None:
    with pytest.raises(KernelError, match=r"ip netns add pod: .*File exists"):
        inside(made, [Namespace(netns="pod"), Namespace(netns="pod")], lambda: None)


def test_far_ends_come_up_even_if_nothing_else_is_planned_for_them(inside: Inside) -> None:
    wanted = [
        Namespace(netns="a"),
        Namespace(netns="b"),
        Veth(
            netns="a", name="x", index=100, mac="06:00:00:00:00:01",
            peer_netns="b", peer_name="y", peer_index=100, peer_mac="06:00:00:00:00:02",
        ),
    ]  # fmt: skip
    assert inside(made, wanted, lambda: [link["up"] for link in look.links("b")]) == [True, True]


def test_a_bridge_has_its_mtu_before_anything_is_plugged_in(inside: Inside) -> None:
    wanted = [Namespace(netns="a"), Bridge(netns="a", name="x", index=100, mac="06:00:00:00:00:01", mtu=1450)]
    assert inside(made, wanted, lambda: look.links("a")[1]["mtu"]) == 1450


def test_ops_are_done_in_their_order_so_a_sysctl_finds_the_link_that_came_before_it(inside: Inside) -> None:
    key = "net.ipv4.conf.x.rp_filter"
    wanted = [
        Namespace(netns="a"),
        Bridge(netns="a", name="x", index=100, mac="06:00:00:00:00:01"),
        Sysctl(netns="a", key=key, value="2"),
    ]

    def value() -> str:
        with netns.inside("a"):
            return sysctl.read(key)

    assert inside(made, wanted, value) == "2"


def test_the_builder_ends_where_it_began_and_leaves_no_file_open(inside: Inside) -> None:
    def look_around() -> tuple[bool, set[str]]:
        before = os.readlink("/proc/self/ns/net"), set(os.listdir("/proc/self/fd"))
        build(ops(), serve=lambda _: None)
        after = os.readlink("/proc/self/ns/net"), set(os.listdir("/proc/self/fd"))
        return before[0] == after[0], before[1] ^ after[1]

    assert inside(look_around) == (True, set())


@pytest.mark.parametrize("network", [DUAL, ALL], ids=["bridge", "ptp and vxlan"])
def test_the_printed_commands_typed_into_a_shell_build_the_same(inside: Inside, network: str) -> None:
    kinds = (Namespace, Sysctl, Bridge, Veth, Vxlan, Address, Route, Neighbour, Fdb)
    wanted = [op for op in ops(network) if isinstance(op, kinds)]

    def typed() -> dict[str, set[Any]]:
        commands = "set -e\n" + "".join(f"{describe(op)} >/dev/null\n" for op in wanted if not isinstance(op, Sysctl))
        subprocess.run(["sh"], input=commands, text=True, check=True)  # noqa: S607
        return stands(wanted)

    seen = inside(typed)
    assert planned(wanted)["links"] <= seen["links"]
    assert planned(wanted)["addresses"] <= seen["addresses"]
    assert planned(wanted)["neighbours"] == seen["neighbours"]
    assert planned(wanted)["routes"] <= seen["routes"]
    assert planned(wanted)["fdb"] == seen["fdb"]


def test_a_lab_stands_although_each_namespace_came_with_devices_of_its_own(inside: Inside) -> None:
    """A host's tunnel modules put devices into every new namespace (net.core.fb_tunnels_only_for_init_net)."""
    wanted = ops()
    first = next(position for position, op in enumerate(wanted) if isinstance(op, Bridge))

    def with_devices() -> dict[str, set[Any]]:
        build(wanted[:first], serve=lambda _: None)
        for name in machines(wanted):
            place = ["-n", name] if name else []
            for number in range(5):
                subprocess.run(["ip", *place, "link", "add", f"own{number}", "type", "bridge"], check=True)  # noqa: S607
        build(wanted[first:], serve=lambda _: None)
        return stands(wanted)

    assert planned(wanted)["links"] <= inside(with_devices)["links"]
