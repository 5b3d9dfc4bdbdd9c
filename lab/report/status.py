"""What stands in a lab: its nodes, pods, Services and clients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lab import words
from lab.model.kubernetes import to_builtins
from lab.report.table import PLAIN, Look, paint, shortened, table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lab.model.status import PodRow, PortRow, ServiceRow, Status

ENDPOINTS = 4


def text(status: Status, look: Look = PLAIN, *, most: int = 0) -> str:
    """Return a heading and up to four tables; each has at most `most` rows and says what it left out (0: all rows)."""
    services = [row for service in status.services for row in _service(service)]
    tables = [
        (["NODE", "ADDRESS", "POD RANGE", "PODS"], [
            [node.name, _lines(node.addresses), _lines(node.pod_cidrs), str(node.pods)] for node in status.nodes
        ]),
        (["POD", "NODE", "ADDRESS", "PORTS", "HEALTH"], [
            [pod.name, pod.node, _lines(pod.addresses), _ports(pod), _health(pod, look)] for pod in status.pods
        ]),
        (["SERVICE", "TYPE", "ADDRESS", "PORT", "ENDPOINTS"], services),
        (["CLIENT", "ADDRESS"], [[client.name, _lines(client.addresses)] for client in status.clients]),
    ]  # fmt: skip
    return "\n\n".join(
        [_heading(status, look), *(_limited(rows, headers, look, most) for headers, rows in tables if rows)]
    )


def _limited(rows: list[list[str]], headers: list[str], look: Look, most: int) -> str:
    if not most or len(rows) <= most:
        return table(rows, headers, look, right="PODS")
    return f"{table(rows[:most], headers, look, right='PODS')}\nand {len(rows) - most} more"


def _heading(status: Status, look: Look) -> str:
    how = f"iptables mode by iptables-{status.iptables}" if status.mode == "iptables" else f"{status.mode} mode"
    name = paint(status.lab, "bold", look)
    age = words.seconds(status.age_s)
    lines = [f"lab {name}: topology {status.topology}, {how}, up for {age}, keeper {status.keeper_pid}"]
    for node, file in status.rules.items():
        lines.append(f"node {node} has the rules of {file}; lab.sync puts the lab's own back")
    return "\n".join(lines)


def _lines(items: Sequence[object]) -> str:
    return "\n".join(map(str, items))


def _ports(pod: PodRow) -> str:
    return ", ".join(shortened(pod.ports, ENDPOINTS))


def _health(pod: PodRow, look: Look) -> str:
    """Return a pod's conditions, unless it is just ready, and whether it answers."""
    conditions = [word for word, holds in (("terminating", pod.terminating), ("not ready", not pod.ready)) if holds]
    return ", ".join([*(paint(word, "yellow", look) for word in conditions), *_answers(pod, look)])


def _answers(pod: PodRow, look: Look) -> Iterator[str]:
    if pod.processes:
        yield paint(", ".join(pod.processes), "red" if pod.answering is False else "green", look)
    elif pod.answering:
        latency = "" if pod.latency_s is None else f" in {words.seconds(pod.latency_s)}"
        yield paint(f"answers{latency}", "green", look)
    elif pod.answering is False:
        yield paint("does not answer", "red", look)


def _service(service: ServiceRow) -> list[list[str]]:
    """Return a row for each port; the Service itself stands in the first one's."""
    addresses = _lines([*service.cluster_ips, *(f"{address} (external)" for address in service.external)])
    own = [service.name, service.type, addresses or "headless"]
    return [
        [*(own if number == 0 else [" ", " ", " "]), _port(port), _endpoints(port)]
        for number, port in enumerate(service.ports)
    ] or [[*own, "", ""]]


def _port(port: PortRow) -> str:
    return f"{port.port}/{port.protocol}" + (f"\nnode port {port.node_port}" if port.node_port else "")


def _endpoints(port: PortRow) -> str:
    lines = []
    for endpoint in port.endpoints:
        line = f"{endpoint.pod} {words.socket(endpoint.address, endpoint.port)}".lstrip()
        lines.append(line if endpoint.ready else f"{line} ({'terminating' if endpoint.terminating else 'not ready'})")
    return "\n".join(shortened(lines, ENDPOINTS)) or "none"


def data(status: Status) -> dict[str, Any]:
    """Return the status: the fields of `lab.model.status.Status` and of its rows by their names, and `healthy`."""
    return {**to_builtins(status), "healthy": status.healthy}
