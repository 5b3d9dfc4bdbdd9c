"""What is allowed and may still surprise: said when a lab is built."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab import words
from lab.controllers.endpoints import Selection
from lab.controllers.services import NODE_PORTS
from lab.model.cluster import full_name, node_addresses, pod_addresses
from lab.model.program import program
from lab.model.status import shown
from lab.parse.mistake import listed, show

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lab.model.cluster import Cluster
    from lab.model.kubernetes import Service


def notes(cluster: Cluster) -> tuple[str, ...]:
    """Return a sentence for each thing in a complete cluster that is allowed and may surprise."""
    selection = Selection(cluster.pods)
    served = {one.service_key for one in cluster.slices}
    found: list[str] = []
    for service in cluster.services:
        found.extend(_of_service(service, served, selection))
    found.extend(_strangers(cluster))
    found.extend(commands(cluster))
    return tuple(found)


def commands(cluster: Cluster) -> Iterator[str]:
    """Yield what is to be said of containers whose command does not run."""
    lacking: dict[str, list[str]] = {}
    for pod in cluster.pods:
        for container in pod.spec.containers:
            if container.command and not cluster.runs(container):
                lacking.setdefault(program(container), []).append(shown(pod.metadata))
    if lacking and cluster.programs is None:
        number = words.count(sum(map(len, lacking.values())), "container has a command", "containers have a command")
        yield f"{number} that is not run: Hairpin's own server answers instead; --run-commands runs it"
        return
    for name, pods in lacking.items():
        whom = f"{words.noun(len(pods), 'pod')} {_some(pods)}"
        yield (
            f"{whom}: {show(name)} is not found on this machine, so Hairpin's own server answers instead; install it,"
            " or name another program in `command`, and build the lab anew"
        )


def _of_service(service: Service, served: set[tuple[str, str]], selection: Selection) -> Iterator[str]:
    name, spec = full_name(service), service.spec
    if spec.type == "ExternalName":
        return
    if service.metadata.key not in served and not selection.of(service):
        labels = ",".join(f"{key}={value}" for key, value in spec.selector.items())
        yield (
            f"{name} selects {labels}, which no pod has: it has no endpoints"
            if labels
            else f"{name} has no selector and no EndpointSlice: it has no endpoints"
        )
    for port in spec.ports:
        if port.node_port and port.node_port not in NODE_PORTS:
            usual = f"{NODE_PORTS[0]}-{NODE_PORTS[-1]}"
            yield f"{name}: an API server takes the node port {port.node_port} only if told to; its range is {usual}"
    if spec.type == "LoadBalancer" and not spec.external_ips and not service.status.load_balancer.ingress:
        yield f"{name} is of type LoadBalancer and has no status.loadBalancer.ingress: nobody gives it an address"


def _some(names: Sequence[str], most: int = 3) -> str:
    """Return the first names, and how many more there are."""
    more = [f"{len(names) - most} more"] if len(names) > most else []
    return words.several([*names[:most], *more], "and")


def _strangers(cluster: Cluster) -> Iterator[str]:
    known = {address for pod in cluster.pods for address in pod_addresses(pod)}
    known.update(address for node in cluster.nodes for address in node_addresses(node))
    known.update(address for client in cluster.spec.clients for address in client.addresses)
    for one in cluster.slices:
        first = (address for endpoint in one.endpoints for address in endpoint.addresses[:1])
        strange = [str(address) for address in first if address not in known]
        if strange:
            whom = listed(strange, last="and")
            yield f"EndpointSlice {one.metadata.name} has endpoints that nobody answers for: {whom}"
