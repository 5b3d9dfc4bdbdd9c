from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import pytest

from lab.model.flow import Tuple
from lab.parse import conntrack

if TYPE_CHECKING:
    from lab.model.flow import Flow


def entry(**changed: Any) -> conntrack.Entry:
    plain: Any = {
        "protocol": 6,
        "original": ("10.244.1.2", "10.96.0.10", 40212, 80),
        "reply": ("10.244.2.2", "10.244.1.2", 8080, 40212),
        "mark": 0x4000,
        "zone": 0,
        "status": 0,
        "tcp_state": 3,
        "timeout_s": 431_999,
        "id": 123,
        "counted": None,
    }
    found: conntrack.Entry = plain | changed
    return found


def read(**changed: Any) -> Flow:
    (flow,) = conntrack.flows("node-1", [entry(**changed)])
    return flow


def test_an_entry_is_a_flow_of_its_node_with_addresses_as_addresses() -> None:
    flow = read()
    assert flow.node == "node-1"
    assert flow.original == Tuple(src=ip_address("10.244.1.2"), dst=ip_address("10.96.0.10"), sport=40212, dport=80)
    assert flow.reply == Tuple(src=ip_address("10.244.2.2"), dst=ip_address("10.244.1.2"), sport=8080, dport=40212)
    assert (flow.mark, flow.zone, flow.timeout_s, flow.id) == (0x4000, 0, 431_999, 123)
    assert (flow.dnat, flow.snat) == (True, False)
    assert read(zone=5).zone == 5


def test_ipv6_is_read_alike() -> None:
    flow = read(original=("fd00::1", "fd00::2", 1, 2), reply=("fd00::2", "fd00::1", 2, 1))
    assert flow.original.src == ip_address("fd00::1")
    assert not flow.dnat
    assert not flow.snat


@pytest.mark.parametrize(
    ("bits", "names"),
    [
        (0, set()),
        (1 << 1, {"seen_reply"}),
        (0b1110 | 1 << 5, {"seen_reply", "assured", "confirmed", "dst_nat"}),
        (1 << 4 | 1 << 7 | 1 << 8, {"src_nat", "src_nat_done", "dst_nat_done"}),
        (1 << 9 | 1 << 15, {"dying", "hw_offload"}),
        (1 << 20, {"bit_20"}),
    ],
)
def test_status_bits_have_the_names_of_the_kernel_header(bits: int, names: set[str]) -> None:
    assert read(status=bits).status == names
    assert read(status=bits).answered == ("seen_reply" in names)


@pytest.mark.parametrize(
    ("number", "name"), [(-1, ""), (0, "NONE"), (1, "SYN_SENT"), (3, "ESTABLISHED"), (7, "TIME_WAIT"), (99, "99")]
)
def test_a_tcp_state_has_the_name_that_conntrack_prints(number: int, name: str) -> None:
    assert read(tcp_state=number).tcp_state == name


@pytest.mark.parametrize(("number", "name"), [(6, "tcp"), (17, "udp"), (1, "icmp"), (132, "sctp"), (254, "254")])
def test_a_protocol_has_its_name_or_its_number(number: int, name: str) -> None:
    assert read(protocol=number).protocol == name


def test_flows_come_in_the_order_of_their_original_tuples() -> None:
    entries = [
        entry(original=(source, "10.96.0.10", port, 80))
        for source, port in [("10.244.1.10", 5), ("10.244.1.9", 900), ("10.244.1.9", 80)]
    ]
    flows = conntrack.flows("node-1", [entry(original=("fd00::1", "fd00::2", 1, 2)), *entries])
    assert [f"{flow.original.src} {flow.original.sport}" for flow in flows] == [
        "10.244.1.9 80", "10.244.1.9 900", "10.244.1.10 5", "fd00::1 1",
    ]  # fmt: skip
