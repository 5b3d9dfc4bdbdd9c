"""Pods, what runs in them, and the Deployments that make them."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from lab.model.address import IPAddress
from lab.model.kubernetes.common import Annotation, ObjectMeta, Port, Protocol
from lab.model.part import Part


class ContainerPort(Part, frozen=True, kw_only=True):
    """A port that a pod's server listens on."""

    name: str = ""
    container_port: Port
    protocol: Protocol = "TCP"


class EnvVar(Part, frozen=True, kw_only=True):
    """A variable of a container's environment; one whose value comes from elsewhere has none here, and is not set."""

    name: str
    value: str | None = None


class Container(Part, frozen=True, kw_only=True):
    """A container: its ports, and what would run in it; Hairpin's own server does, unless commands are run."""

    name: str = ""
    ports: tuple[ContainerPort, ...] = ()
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: tuple[EnvVar, ...] = ()
    working_dir: str = ""


class PodSpec(Part, frozen=True, kw_only=True):
    """Where the pod runs and what it listens on."""

    node_name: str = ""
    host_network: bool = False
    containers: tuple[Container, ...] = ()


class PodIP(Part, frozen=True, kw_only=True):
    """One address of a pod."""

    ip: IPAddress


class PodCondition(Part, frozen=True, kw_only=True):
    """One condition of a pod; only Ready matters."""

    type: str
    status: Literal["True", "False", "Unknown"] = "True"


class PodStatus(Part, frozen=True, kw_only=True):
    """The pod's addresses, the first one first, its conditions, and how far it has come in its life."""

    phase: Literal["", "Pending", "Running", "Succeeded", "Failed", "Unknown"] = ""
    pod_ip: IPAddress | None = None
    pod_ips: tuple[PodIP, ...] = ()
    conditions: tuple[PodCondition, ...] = ()


class Pod(Part, frozen=True, kw_only=True):
    """v1 Pod."""

    api_version: Literal["v1"] = "v1"
    kind: Literal["Pod"] = "Pod"
    metadata: ObjectMeta
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    @property
    def ports(self) -> tuple[ContainerPort, ...]:
        """The ports of all containers."""
        return tuple(port for container in self.spec.containers for port in container.ports)

    @property
    def ready(self) -> bool:
        """Whether its condition Ready is True; a pod without that condition answers, and so is ready."""
        return all(one.status == "True" for one in self.status.conditions if one.type == "Ready")

    @property
    def finished(self) -> bool:
        """Whether it has run to its end: its address is free again, though the object still names it."""
        return self.status.phase in {"Succeeded", "Failed"}

    @property
    def terminating(self) -> bool:
        """Whether it is on its way out."""
        return bool(self.metadata.deletion_timestamp)


class LabelSelector(Part, frozen=True, kw_only=True):
    """The labels that a Deployment's pods carry."""

    match_labels: dict[str, str] = {}


class TemplateMeta(Part, frozen=True, kw_only=True):
    """Labels of the pods that a template makes."""

    labels: dict[str, str] = {}
    annotations: dict[str, Annotation] = {}


class PodTemplate(Part, frozen=True, kw_only=True):
    """What each pod of a Deployment looks like."""

    metadata: TemplateMeta = TemplateMeta()
    spec: PodSpec = PodSpec()


class DeploymentSpec(Part, frozen=True, kw_only=True):
    """How many pods, and which."""

    replicas: Annotated[int, Meta(ge=0, le=100_000)] = 1
    selector: LabelSelector = LabelSelector()
    template: PodTemplate


class Deployment(Part, frozen=True, kw_only=True):
    """apps/v1 Deployment: its pods are named NAME-1, NAME-2, ... and spread over the nodes in turn."""

    api_version: Literal["apps/v1"] = "apps/v1"
    kind: Literal["Deployment"] = "Deployment"
    metadata: ObjectMeta
    spec: DeploymentSpec
