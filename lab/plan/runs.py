"""The commands of pods' containers that run, as ops."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.model.cluster import pod_addresses, pod_netns
from lab.model.ops import Run
from lab.model.program import PATH, argv, environment, folder, program, title
from lab.model.status import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.model.cluster import Cluster
    from lab.model.kubernetes import Container, Pod


def runs(cluster: Cluster) -> Iterator[Run]:
    """Yield a Run for each container whose command runs, see `Cluster.runs`."""
    for pod in cluster.pods:
        for container in pod.spec.containers:
            if cluster.programs and cluster.runs(container):
                yield _run(pod, container, cluster.programs[program(container)])


def _run(pod: Pod, container: Container, path: str) -> Run:
    hostname = pod.spec.node_name if pod.spec.host_network else pod.metadata.name
    return Run(
        netns=pod_netns(pod),
        pod=shown(pod.metadata),
        container=title(container),
        program=path,
        argv=argv(container),
        env=tuple(({"PATH": PATH, "HOSTNAME": hostname} | environment(container)).items()),
        folder=folder(container),
        hostname=hostname,
        namespace=pod.metadata.namespace,
        addresses=pod_addresses(pod),
        ports=tuple((port.protocol, port.container_port) for port in container.ports if port.protocol != "SCTP"),
    )
