"""Packets go between all machines as they are wired, at once and with their own addresses, and nowhere else."""

from __future__ import annotations

import errno
import select
import socket
from functools import partial

import pytest

from lab.kernel import netns
from lab.model.ops import Address, Fdb, Route
from lab.plan.describe import data
from tests.kernel.built import ALL, DUAL, DUAL_PTP, DUAL_VXLAN, EMPTY, PTP, SIX, VXLAN, Inside, made, of, ops


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
