"""Clusters that change at random, in every way that kube-proxy's rules depend on; the same seed gives the same ones."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network
from random import Random
from typing import Any, Literal

from msgspec.structs import replace as with_

from lab.model.address import IPAddress
from lab.model.cluster import Cluster
from lab.model.kubernetes import (
    ClientIPConfig,
    EndpointConditions,
    EndpointPort,
    EndpointSlice,
    LoadBalancerIngress,
    LoadBalancerStatus,
    Node,
    NodeAddress,
    NodeSpec,
    NodeStatus,
    ObjectMeta,
    Service,
    ServicePort,
    ServiceSpec,
    ServiceStatus,
    SessionAffinityConfig,
    SliceEndpoint,
)
from lab.model.lab import Lab, LabMeta, LabSpec, Mode, Release, Variant
from lab.model.labels import SERVICE_NAME
from lab.model.proxy_config import KubeProxyConfiguration

NAMES = ("web", "echo", "db", "api")
NODES = ("node-1", "node-2")
PORTS = (ServicePort(name="http", port=80), ServicePort(name="dns", port=53, protocol="UDP"))


def generator(seed: int) -> Random:
    """Return what chances are taken from."""
    return Random(seed)  # noqa: S311 - to be had again, not to be secret


def node(number: int) -> Node:
    addresses = (f"192.168.0.{9 + number}", f"fd00:168::{number}")
    ranges = (ip_network(f"10.244.{number}.0/24"), ip_network(f"fd00:244:0:{number}::/64"))
    return Node(
        metadata=ObjectMeta(name=f"node-{number}"),
        spec=NodeSpec(pod_cidr=ranges[0], pod_cidrs=ranges),
        status=NodeStatus(addresses=tuple(NodeAddress(type="InternalIP", address=text) for text in addresses)),
    )


def empty(mode: Mode = "iptables", iptables: Variant = "nft", release: Release = "1.36") -> Cluster:
    return Cluster(
        lab=Lab(metadata=LabMeta(name="changing"), spec=LabSpec(iptables=iptables, release=release)),
        nodes=(node(1), node(2)),
        proxy=KubeProxyConfiguration(mode=mode, cluster_cidr="10.244.0.0/16,fd00:244::/56"),
    )


def service(rng: Random, name: str) -> Service:
    """Return a Service of both families with a random set of features; its addresses follow from its name."""
    number = 10 + NAMES.index(name)
    kinds: tuple[Literal["ClusterIP", "NodePort", "LoadBalancer"], ...] = ("ClusterIP", "NodePort", "LoadBalancer")
    kind = rng.choice(kinds)
    ports = PORTS[: rng.randint(1, 2)]
    if kind != "ClusterIP":
        ports = tuple(with_(port, node_port=30000 + number * 10 + n) for n, port in enumerate(ports))
    cluster_ips = (f"10.96.0.{number}", f"fd00:96::{number}")
    outside: tuple[IPAddress, ...] = (ip_address("203.0.113.7"), ip_address("2001:db8::7"))  # everybody's
    timeout = ClientIPConfig(timeout_seconds=rng.choice((90, 120)))
    return Service(
        metadata=ObjectMeta(name=name),
        spec=ServiceSpec(
            type=kind,
            cluster_ip=cluster_ips[0],
            cluster_ips=cluster_ips,
            ip_families=("IPv4", "IPv6"),
            ports=ports,
            external_ips=outside if rng.random() < 0.3 else (),
            load_balancer_source_ranges=("198.51.100.0/24", "2001:db8:51::/48") if rng.random() < 0.3 else (),
            external_traffic_policy=rng.choice(("Cluster", "Local")),
            internal_traffic_policy=rng.choice(("Cluster", "Cluster", "Local")),
            session_affinity=rng.choice(("None", "None", "ClientIP")),
            session_affinity_config=SessionAffinityConfig(client_ip=timeout),
            health_check_node_port=32000 + number,
        ),
        status=ServiceStatus(
            load_balancer=LoadBalancerStatus(
                ingress=tuple(
                    LoadBalancerIngress(ip=ip_address(text))
                    for text in (f"203.0.113.{number}", f"2001:db8::{number}")
                    if kind == "LoadBalancer"
                )
            )
        ),
    )


def slices(rng: Random, name: str) -> tuple[EndpointSlice, ...]:
    """Return a Service's slices in both families; all Services have the same few pods behind them."""
    chosen = rng.sample(range(2, 8), rng.randint(0, 4))
    conditions = {pod: condition(rng) for pod in chosen}

    def endpoint(prefix: str, pod: int) -> SliceEndpoint:
        where = pod % 2 + 1
        return SliceEndpoint(
            addresses=(ip_address(prefix.format(where, pod)),), node_name=f"node-{where}", conditions=conditions[pod]
        )

    return tuple(
        EndpointSlice(
            metadata=ObjectMeta(name=f"{name}-{family}", labels={SERVICE_NAME: name}),
            address_type="IPv4" if family == "ipv4" else "IPv6",
            endpoints=tuple(endpoint(prefix, pod) for pod in chosen),
            ports=tuple(EndpointPort(name=one.name, port=8000 + one.port, protocol=one.protocol) for one in PORTS),
        )
        for family, prefix in (("ipv4", "10.244.{}.{}"), ("ipv6", "fd00:244:0:{}::{}"))
    )


def condition(rng: Random) -> EndpointConditions:
    kind = rng.random()
    if kind < 0.7:
        return EndpointConditions()
    if kind < 0.85:
        return EndpointConditions(ready=False, serving=True, terminating=True)
    return EndpointConditions(ready=False, serving=False)


def changed(rng: Random, cluster: Cluster) -> Cluster:
    """Return a cluster in which one or two things are different: a Service, its endpoints, seldom the configuration."""
    for _ in range(rng.randint(1, 2)):
        cluster = once(rng, cluster)
    return cluster


def once(rng: Random, cluster: Cluster) -> Cluster:
    name = rng.choice(NAMES)
    services = tuple(one for one in cluster.services if one.metadata.name != name)
    others = tuple(one for one in cluster.slices if one.service_key[1] != name)
    match rng.choice(("service", "service", "endpoints", "endpoints", "endpoints", "delete", "configuration")):
        case "service":
            return replace(cluster, services=(*services, service(rng, name)))
        case "endpoints":
            return replace(cluster, slices=(*others, *slices(rng, name)))
        case "delete":
            return replace(cluster, services=services, slices=others)
        case _:
            settings: dict[str, Any] = {"cluster_cidr": rng.choice(("10.244.0.0/16,fd00:244::/56", ""))}
            settings["node_port_addresses"] = rng.choice((None, ("192.168.0.0/24", "fd00:168::/64")))
            return replace(cluster, proxy=with_(cluster.proxy, **settings))
