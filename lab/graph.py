"""What `lab.graph` draws: a topology, or the chains of one Service as a node has them, or would have them."""

from __future__ import annotations

from lab.errors import TopologyError
from lab.model.cluster import Cluster, full_name
from lab.parse import target as targets
from lab.picture.chains import Forest, forests
from lab.proxy import rendered
from lab.report import rules as report
from lab.standing import installed
from lab.standing.session import Standing


def chains(cluster: Cluster, service: str, *, node: str = "", lab: Standing | None = None) -> tuple[Forest, ...]:
    """Return the chains of a Service on a node ("": the first one), with the counters of a lab that stands.

    Without a lab they are those that kube-proxy would install. Raises `TopologyError` for a name that nobody has, and
    for a Service without rules, saying why it has none.
    """
    of = installed.service(cluster, service)
    if of is None:
        raise TopologyError("--service: expected the name of a Service")
    name = installed.nodes(cluster, node)[0]
    if lab:
        own, shared = installed.rules(lab, node=name, of=of), installed.rules(lab, node=name)
    else:
        own, shared = rendered.rules(cluster, name, of), rendered.rules(cluster, name, None)
    found = forests(full_name(of), own, shared, targets.names(cluster))
    if not found:
        raise TopologyError(report.text((), service=of))
    return found
