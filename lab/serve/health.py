"""What kube-proxy answers when it is asked for health: pure, from what a node has to what is sent.

Load balancers ask a Service's health check node port whether the node has endpoints of its own; kubelets and operators
ask 10256 for kube-proxy itself. Ours is healthy as long as it answers: it works off no queue that could grow.
Source: service_health.go and proxy_health.go of pkg/proxy/healthcheck.
"""

from __future__ import annotations

import json
from datetime import datetime
from http import HTTPStatus

from lab.model.address import FAMILY_NAMES
from lab.model.ops import Health
from lab.serve.answer import Content

_NO_SNIFFING = ("X-Content-Type-Options", "nosniff")
_JSON = "application/json"


def content(health: Health, path: str, now: datetime) -> Content:
    """Return the answer at the time `now` (UTC); any path will do for a Service."""
    return _of_service(health) if health.service else _of_proxy(health, path, now)


def _of_service(health: Health) -> Content:
    namespace, _, name = health.service.partition("/")
    facts = {
        "service": {"namespace": namespace, "name": name},
        "localEndpoints": health.endpoints,
        "serviceProxyHealthy": True,
    }
    return Content(
        status=HTTPStatus.OK if health.endpoints else HTTPStatus.SERVICE_UNAVAILABLE,
        type=_JSON,
        body=json.dumps(facts, indent="\t").encode(),
        headers=(_NO_SNIFFING, ("X-Load-Balancing-Endpoint-Weight", str(health.endpoints))),
    )


def _of_proxy(health: Health, path: str, now: datetime) -> Content:
    path = path.partition("?")[0]
    if path not in ("/healthz", "/livez"):
        return Content(status=HTTPStatus.NOT_FOUND, body=b"404 page not found\n", headers=(_NO_SNIFFING,))
    time = _rfc_3339(now)
    facts: dict[str, object] = {"lastUpdated": time, "currentTime": time}  # which are the same while nothing is pending
    if path == "/healthz":  # a node that is being taken away gets no new connections, and is alive all the same
        facts["nodeEligible"] = True
    facts["healthy"] = True
    facts["status"] = {FAMILY_NAMES[family]: {"lastUpdated": time, "healthy": True} for family in health.families}
    return Content(type=_JSON, body=json.dumps(facts, separators=(",", ":")).encode(), headers=(_NO_SNIFFING,))


def _rfc_3339(time: datetime) -> str:
    """Return a time (UTC) as Go's encoding/json prints it: without zeros at the end of a second's fraction."""
    text = time.replace(tzinfo=None).isoformat()
    return f"{text.rstrip('0') if '.' in text else text}Z"
