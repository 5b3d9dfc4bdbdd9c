"""What is planned is what stands: links, addresses, routes, neighbours, sysctls, rules; and packets go through it."""

from __future__ import annotations

import os
import subprocess
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from lab.errors import KernelError
from lab.kernel import netns, sysctl
from lab.model.ops import Address, Bridge, Fdb, Hosts, Namespace, Neighbour, Route, Sysctl, Veth, Vxlan
from lab.plan.describe import describe
from lab.standing.build import build
from tests.kernel import look
from tests.kernel.built import ALL, DUAL, DUAL_PTP, EMPTY, VXLAN, Inside, machines, made, of, ops, planned, stands


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
        subprocess.run(["sh"], input=commands, text=True, check=True)
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
                subprocess.run(["ip", *place, "link", "add", f"own{number}", "type", "bridge"], check=True)
        build(wanted[first:], serve=lambda _: None)
        return stands(wanted)

    assert planned(wanted)["links"] <= inside(with_devices)["links"]
