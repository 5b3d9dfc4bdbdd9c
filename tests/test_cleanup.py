"""UDP flows that outlived their endpoint, by the letter of pkg/proxy/conntrack/cleanup.go."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from lab.model.flow import Flow, Tuple
from lab.model.service import Endpoint, ServiceUnit
from lab.proxy.cleanup import stale

CLIENT = ip_address("10.244.1.9")
GONE = Endpoint(address=ip_address("10.244.1.2"), port=8053)
HERE = Endpoint(address=ip_address("10.244.2.2"), port=8053)
DNS = ServiceUnit(
    namespace="default",
    name="dns",
    port_name="dns",
    protocol="UDP",
    cluster_ip=ip_address("10.96.0.10"),
    port=53,
    node_port=30053,
    external_ips=(ip_address("203.0.113.7"),),
    load_balancer_ips=(ip_address("203.0.113.8"),),
    endpoints=(HERE,),
)


def flow(to: str, port: int, endpoint: Endpoint, protocol: str = "udp") -> Flow:
    return Flow(
        node="node-1",
        protocol=protocol,
        original=Tuple(src=CLIENT, dst=ip_address(to), sport=1000, dport=port),
        reply=Tuple(src=endpoint.address, dst=CLIENT, sport=endpoint.port, dport=1000),
    )


@pytest.mark.parametrize(
    ("to", "port"), [("10.96.0.10", 53), ("203.0.113.7", 53), ("203.0.113.8", 53), ("192.0.2.1", 30053)]
)
def test_a_flow_to_any_frontend_is_stale_when_its_endpoint_is_gone(to: str, port: int) -> None:
    gone, here = flow(to, port, GONE), flow(to, port, HERE)
    assert stale([gone, here], [DNS]) == (gone,)


def test_another_port_of_the_same_pod_is_another_endpoint() -> None:
    other = flow("10.96.0.10", 53, replace(HERE, port=5353))
    assert stale([other], [DNS]) == (other,)


@pytest.mark.parametrize(("to", "port"), [("10.96.0.10", 54), ("10.96.0.11", 53), ("203.0.113.7", 54)])
def test_a_flow_to_somewhere_else_stays(to: str, port: int) -> None:
    assert stale([flow(to, port, GONE)], [DNS]) == ()


def test_tcp_is_left_alone() -> None:
    assert stale([flow("10.96.0.10", 53, GONE, "tcp")], [DNS, replace(DNS, protocol="TCP")]) == ()
    assert stale([flow("10.96.0.10", 53, GONE)], [replace(DNS, protocol="TCP")]) == ()


def test_an_endpoint_that_still_serves_keeps_its_flows_ready_or_not() -> None:
    leaving = replace(GONE, ready=False, serving=True, terminating=True)
    one = flow("10.96.0.10", 53, GONE)
    assert stale([one], [replace(DNS, endpoints=(HERE, leaving))]) == ()
    assert stale([one], [replace(DNS, endpoints=(HERE, replace(leaving, serving=False)))]) == (one,)


def test_a_service_port_without_a_serving_endpoint_is_skipped() -> None:
    one = flow("10.96.0.10", 53, GONE)
    assert stale([one], [replace(DNS, endpoints=())]) == ()
    assert stale([one], [replace(DNS, endpoints=(replace(GONE, serving=False),))]) == ()
