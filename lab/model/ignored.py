"""The fields that Kubernetes knows and Hairpin reads over: any other field that no class here has is a mistake."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.model.kubernetes import (
    Container,
    ContainerPort,
    Deployment,
    DeploymentSpec,
    EndpointPort,
    EnvVar,
    LabelSelector,
    LoadBalancerIngress,
    NodeSpec,
    NodeStatus,
    ObjectMeta,
    ObjectReference,
    PodCondition,
    PodSpec,
    PodStatus,
    ServiceCIDR,
    ServicePort,
    ServiceSpec,
    ServiceStatus,
    SliceEndpoint,
    TemplateMeta,
)
from lab.model.proxy_config import KubeProxyConfiguration

if TYPE_CHECKING:
    from msgspec import Struct

# Source: the fields of the API (v1.36) that `lab.model.kubernetes` leaves out.
_IGNORED: tuple[tuple[type[Struct], str], ...] = (
    (
        ObjectMeta,
        """creationTimestamp deletionGracePeriodSeconds finalizers generateName generation
        managedFields ownerReferences resourceVersion selfLink uid""",
    ),
    (TemplateMeta, "creationTimestamp finalizers generateName name namespace ownerReferences uid"),
    (NodeSpec, "configSource externalID providerID taints unschedulable"),
    (
        NodeStatus,
        """allocatable capacity conditions config daemonEndpoints declaredFeatures features images nodeInfo
        phase runtimeHandlers volumesAttached volumesInUse""",
    ),
    (
        Container,
        """envFrom image imagePullPolicy lifecycle livenessProbe readinessProbe resizePolicy resources
        restartPolicy restartPolicyRules securityContext startupProbe stdin stdinOnce terminationMessagePath
        terminationMessagePolicy tty volumeDevices volumeMounts""",
    ),
    (ContainerPort, "hostIP hostPort"),
    (EnvVar, "valueFrom"),
    (
        PodSpec,
        """activeDeadlineSeconds affinity automountServiceAccountToken dnsConfig dnsPolicy enableServiceLinks
        ephemeralContainers hostAliases hostIPC hostPID hostUsers hostname hostnameOverride imagePullSecrets
        initContainers nodeSelector os overhead preemptionPolicy priority priorityClassName readinessGates
        resourceClaims resources restartPolicy runtimeClassName schedulerName schedulingGates schedulingGroup
        securityContext serviceAccount serviceAccountName setHostnameAsFQDN shareProcessNamespace subdomain
        terminationGracePeriodSeconds tolerations topologySpreadConstraints volumes workloadRef""",
    ),
    (
        PodStatus,
        """allocatedResources containerStatuses ephemeralContainerStatuses
        extendedResourceClaimStatus hostIP hostIPs initContainerStatuses message nominatedNodeName
        observedGeneration qosClass reason resize resourceClaimStatuses resources startTime""",
    ),
    (PodCondition, "lastProbeTime lastTransitionTime message observedGeneration reason"),
    (LabelSelector, "matchExpressions"),
    (Deployment, "status"),
    (DeploymentSpec, "minReadySeconds paused progressDeadlineSeconds revisionHistoryLimit strategy"),
    (ServiceSpec, "loadBalancerClass loadBalancerIP"),
    (ServicePort, "appProtocol"),
    (ServiceStatus, "conditions"),
    (LoadBalancerIngress, "hostname ports"),
    (SliceEndpoint, "deprecatedTopology hostname"),
    (EndpointPort, "appProtocol"),
    (ObjectReference, "apiVersion fieldPath resourceVersion uid"),
    (ServiceCIDR, "status"),
    (
        KubeProxyConfiguration,
        """bindAddressHardFail clientConnection enableProfiling ipvs logging portRange
        showHiddenMetricsForVersion udpIdleTimeout windowsRunAsService winkernel""",
    ),
)
IGNORED: dict[type[Struct], frozenset[str]] = {part: frozenset(names.split()) for part, names in _IGNORED}
