"""Labels that mean something to Kubernetes' own controllers and to kube-proxy."""

SERVICE_NAME = "kubernetes.io/service-name"
"""On an EndpointSlice: the Service that it belongs to."""

MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
"""On an EndpointSlice: who keeps it up to date."""

HEADLESS = "service.kubernetes.io/headless"
"""On an EndpointSlice: its Service is headless, so it is none of kube-proxy's business."""

PROXY_NAME = "service.kubernetes.io/service-proxy-name"
"""On a Service: another proxy than kube-proxy serves it."""

HOSTNAME = "kubernetes.io/hostname"
"""On a Node: its host name."""

TOPOLOGY_MODE = "service.kubernetes.io/topology-mode"
"""An annotation of a Service: hints in proportion to zones' CPUs (`Auto`); until 1.27 it was `TOPOLOGY_HINTS`."""

TOPOLOGY_HINTS = "service.kubernetes.io/topology-aware-hints"
"""The same annotation by its old name, which wins."""

ZONE = "topology.kubernetes.io/zone"
"""On a Node: the zone that it stands in."""

CONTROL_PLANE = ("node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master")
"""On a Node: that it is one of the control plane's; the second is the label's name before Kubernetes 1.20."""
