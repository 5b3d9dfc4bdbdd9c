"""What differs from attempt to attempt: a seed draws an exercise's variables, and a cluster gives the rest of them."""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Mapping

from lab.model.cluster import Cluster, cluster_ips, node_addresses, pod_addresses, pod_netns
from lab.model.exercise import ExerciseSpec
from lab.plan.segments import segments

_CLIENT_RANGES = ("192.0.2.0/24", "198.51.100.0/24")  # RFC 5737; the third is left for load balancers

Variables = dict[str, str]


def drawn(spec: ExerciseSpec, seed: int) -> Variables:
    """Return address ranges for the lab, and a choice for each of the exercise's own variables.

    The same `seed` draws the same. Names: `pod_cidr`, `service_cidr`, `node_cidr`, `client_cidr`, and those of `vary`.
    """
    ranges, choices = _draw(spec, seed)
    for choice in choices.values():
        ranges.update(choice)
    return ranges


def unlike(spec: ExerciseSpec, seed: int) -> int:
    """Return the next seed that draws another choice than `seed` does, wherever there are several to choose from."""
    several = [name for name, choices in spec.vary.items() if any(one != choices[0] for one in choices)]
    _, old = _draw(spec, seed)
    draws = ((other, _draw(spec, other)[1]) for other in itertools.count(seed + 1))
    return next(other for other, new in draws if all(new[name] != old[name] for name in several))


def _draw(spec: ExerciseSpec, seed: int) -> tuple[Variables, dict[str, Variables]]:
    """Return address ranges, and for each of `vary` the variables of the choice."""
    chance = random.Random(seed)  # noqa: S311 - a draw, not a secret
    pods, services = chance.sample(range(16, 128), 2)
    ranges = {
        "pod_cidr": f"10.{pods}.0.0/16",
        "service_cidr": f"10.{services}.0.0/16",
        "node_cidr": f"192.168.{chance.randrange(256)}.0/24",
        "client_cidr": chance.choice(_CLIENT_RANGES),
    }
    chosen = {name: chance.choice(choices) for name, choices in spec.vary.items()}
    return ranges, {name: {name: one} if isinstance(one, str) else dict(one) for name, one in chosen.items()}


def complete(variables: Mapping[str, str], cluster: Cluster) -> Variables:
    """Return the variables with what the lab's objects were given.

    Of a place `web-1` there are `web_1_ip` and, for a pod, `web_1_node` and `web_1_veth` (the node's end of its cable);
    of a Service `svc_web_ip` and `svc_web_node_port`; of a variable `asker` that is a place's name, `asker_ip` etc.
    """
    facts = _facts(cluster)
    found = {f"{_word(name)}_{fact}": value for name, every in facts.items() for fact, value in every.items()}
    for variable, value in variables.items():
        found.update({f"{variable}_{fact}": one for fact, one in facts.get(value, {}).items()})
    return found | dict(variables)


def _facts(cluster: Cluster) -> dict[str, Variables]:
    found: dict[str, Variables] = {}
    for service in cluster.services:
        addresses, port = cluster_ips(service), service.spec.ports[0].node_port
        ways = {"ip": str(addresses[0]) if addresses else "", "node_port": str(port or "")}
        found[f"svc/{service.metadata.name}"] = {fact: value for fact, value in ways.items() if value}
    for client in cluster.spec.clients:
        found[client.name] = {"ip": str(client.addresses[0])}
    for node in cluster.nodes:
        found[node.metadata.name] = {"ip": str(node_addresses(node)[0])}
    cables = {seat.netns: seat.port for segment in segments(cluster) if segment.netns for seat in segment.seats}
    for pod in cluster.pods:
        facts = {"node": pod.spec.node_name, "ip": str(pod_addresses(pod)[0]), "veth": cables.get(pod_netns(pod), "")}
        found[pod.metadata.name] = {fact: value for fact, value in facts.items() if value}
    return found


def _word(name: str) -> str:
    return re.sub("[^a-z0-9]", "_", name)
