"""EndpointSlices as the EndpointSlice controller derives them from selectors.

Source: staging/src/k8s.io/endpointslice/reconciler.go, utils.go and trafficdist/trafficdist.go (v1.36).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.controllers.services import FAMILY_OF
from lab.model.address import family_of
from lab.model.cluster import headless, pod_addresses
from lab.model.kubernetes import (
    EndpointConditions,
    EndpointHints,
    EndpointPort,
    EndpointSlice,
    HintName,
    ObjectMeta,
    ObjectReference,
    SliceEndpoint,
)
from lab.model.labels import HEADLESS, MANAGED_BY, SERVICE_NAME, TOPOLOGY_HINTS, TOPOLOGY_MODE, ZONE
from lab.parse.mistake import did_you_mean, listed, show

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lab.model.address import IPAddress
    from lab.model.kubernetes import Node, Pod, Service, ServicePort
    from lab.parse.mistake import Mistakes

CONTROLLER = "endpointslice-controller.k8s.io"

Ports = tuple[EndpointPort, ...]


class Selection:
    """Pods by their labels."""

    def __init__(self, pods: Iterable[Pod]) -> None:
        """Index the pods; their order is kept."""
        self._by_label: dict[tuple[str, str, str], list[Pod]] = {}
        for pod in pods:
            for key, value in pod.metadata.labels.items():
                self._by_label.setdefault((pod.metadata.namespace, key, value), []).append(pod)

    def of(self, service: Service) -> list[Pod]:
        """Return the pods that a Service selects: none without a selector."""
        selector = service.spec.selector.items()
        if not selector:
            return []
        found = [self._by_label.get((service.metadata.namespace, key, value), []) for key, value in selector]
        fewest = min(found, key=len)
        return [pod for pod in fewest if all(pod.metadata.labels.get(key) == value for key, value in selector)]


def derive(
    services: Mapping[int, Service],
    given: Iterable[EndpointSlice],
    selection: Selection,
    nodes: Mapping[str, Node],
    out: Mistakes,
) -> list[EndpointSlice]:
    """Return the slices of the Services that have a selector and were given no slices."""
    served = {one.service_key for one in given}
    zones = {name: node.metadata.labels.get(ZONE) for name, node in nodes.items()}
    slices: list[EndpointSlice] = []
    for at, service in services.items():
        if service.spec.type == "ExternalName" or service.metadata.key in served:
            continue
        pods = selection.of(service)
        if pods:
            _check_names(at, service, pods, out)
            slices.extend(_slices(service, pods, zones))
    return slices


def target_port(port: ServicePort, pod: Pod) -> int:
    """Return the number of a service port's targetPort in `pod`, or 0 if the pod has no port of that name."""
    target = port.target_port
    if target is None:
        return port.port
    if isinstance(target, int):
        return target
    return next((one.container_port for one in pod.ports if one.name == target and one.protocol == port.protocol), 0)


def _check_names(at: int, service: Service, pods: list[Pod], out: Mistakes) -> None:
    for index, port in enumerate(service.spec.ports):
        target = port.target_port
        if isinstance(target, str) and not any(target_port(port, pod) for pod in pods):
            fitting = (one for pod in pods for one in pod.ports if one.protocol == port.protocol)
            known = sorted({one.name for one in fitting if one.name})
            expected = f"expected {listed(known)}" if known else "expected a number: they name no such port"
            text = f"no selected pod has a {port.protocol} port named {show(target)}; {expected}"
            out.add(at, ("spec", "ports", index, "targetPort"), text + did_you_mean(target, known), certain=False)


def _slices(service: Service, pods: list[Pod], zones: Mapping[str, str | None]) -> Iterable[EndpointSlice]:
    named = any(isinstance(port.target_port, str) for port in service.spec.ports)
    same = () if named else _resolve(service, pods[0])
    for name in service.spec.ip_families:
        groups: dict[Ports, list[SliceEndpoint]] = {}
        for pod in pods:
            address = next((one for one in pod_addresses(pod) if family_of(one) == FAMILY_OF[name]), None)
            ports = _resolve(service, pod) if named else same
            if address is not None and (ports or headless(service)):
                groups.setdefault(ports, []).append(_endpoint(service, pod, address, zones))
        for number, (ports, endpoints) in enumerate(groups.items(), 1):
            suffix = name.lower() if number == 1 else f"{name.lower()}-{number}"
            yield EndpointSlice(
                metadata=_meta(service, suffix), address_type=name, endpoints=tuple(endpoints), ports=ports
            )


def _meta(service: Service, suffix: str) -> ObjectMeta:
    meta = service.metadata
    labels = {**meta.labels, SERVICE_NAME: meta.name, MANAGED_BY: CONTROLLER}
    if headless(service):
        labels[HEADLESS] = ""
    return ObjectMeta(name=f"{meta.name}-{suffix}", namespace=meta.namespace, labels=labels)


def _resolve(service: Service, pod: Pod) -> Ports:
    found = ((port, target_port(port, pod)) for port in service.spec.ports)
    return tuple(EndpointPort(name=port.name, port=number, protocol=port.protocol) for port, number in found if number)


def _endpoint(service: Service, pod: Pod, address: IPAddress, zones: Mapping[str, str | None]) -> SliceEndpoint:
    zone = zones.get(pod.spec.node_name)
    state = conditions(service, pod)
    return SliceEndpoint(
        addresses=(address,),
        conditions=state,
        hints=hints(service, pod.spec.node_name, zone) if state.ready else None,
        node_name=pod.spec.node_name,
        zone=zone,
        target_ref=ObjectReference(kind="Pod", namespace=pod.metadata.namespace, name=pod.metadata.name),
    )


def hints(service: Service, node: str, zone: str | None) -> EndpointHints | None:
    """Return what `trafficDistribution` makes of a ready endpoint: meant for its own zone, and for its own node.

    The older annotation wins over it. What that one makes of the zones' CPUs is not reckoned here: nodes of a lab tell
    nothing of theirs, and without that the controller gives no hints.
    Source: preferCloseHeuristic in trafficdist.go; hintsEnabled in utils.go.
    """
    wanted, notes = service.spec.traffic_distribution, service.metadata.annotations
    if wanted is None or notes.get(TOPOLOGY_HINTS, notes.get(TOPOLOGY_MODE)) in {"Auto", "auto"}:
        return None
    for_zones = (HintName(name=zone),) if zone else ()
    for_nodes = (HintName(name=node),) if wanted == "PreferSameNode" else ()
    return EndpointHints(for_zones=for_zones, for_nodes=for_nodes) if for_zones or for_nodes else None


def conditions(service: Service, pod: Pod) -> EndpointConditions:
    """Return an endpoint's conditions: a terminating pod may still be serving, but is ready only if all are published.

    Source: podToEndpoint() in staging/src/k8s.io/endpointslice/utils.go.
    """
    ready = service.spec.publish_not_ready_addresses or (pod.ready and not pod.terminating)
    return EndpointConditions(ready=ready, serving=pod.ready, terminating=pod.terminating)
