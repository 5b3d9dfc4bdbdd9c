"""What machines outside the cluster see of the main Service: node ports, load balancers, and who is kept out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import ip_address, ip_network

from lab import words
from lab.exercise.ground import Front, Ground, asked
from lab.model.exercise import Cell
from lab.model.lab import Answer, Expectation


def outside(here: Ground, main: Front) -> Iterator[Cell]:
    """Yield the cells of node ports and of external addresses, as far as the Service has them."""
    if main.port.node_port:
        yield from _node_ports(here, main)
    if main.external:
        yield from _external(here, main)


def _node_ports(here: Ground, main: Front) -> Iterator[Cell]:
    pairs = [(who, node) for who in here.clients for node in here.nodes]
    if main.sticky and not main.stays:  # the pod that a client stays with may be on any node
        it = "a client reaches the Service by the port of each node"
        yield _cell("nodeport", it, (asked(it, who, main, main.ends, to=_port(main, node)) for who, node in pairs))
    else:
        yield from _near_and_far(here, main)
    if here.cluster.mode == "iptables" and here.cluster.proxy.iptables.localhost_node_ports is not False:
        it = "a node reaches the Service on its loopback address"
        address = f"127.0.0.1:{main.port.node_port}"
        loopback = (asked(it, f"node/{node}", main, main.ends, to=address) for node in here.nodes)
        yield _cell("nodeport-loopback", it, loopback)


def _near_and_far(here: Ground, main: Front) -> Iterator[Cell]:
    """Yield the cells of pods on the node whose port is asked, and of those on others, which is the policy's matter."""
    pairs = [(who, node) for who in here.clients for node in here.nodes]
    it = "a client reaches the Service's pods on the node whose port it asks"
    near = ((who, node, main.on(node)) for who, node in pairs)
    sees = (lambda who: who) if main.stays else (lambda _: "")
    local = (asked(it, who, main, to, keeps=sees(who), to=_port(main, node)) for who, node, to in near if to)
    yield _cell("nodeport-local", it, local)
    if main.stays:
        it = "a node without the Service's pods drops what its port is asked"
        alone = ((who, node) for who, node in pairs if not main.on(node))
        wanted = (Expectation(it=it, from_=who, to=_port(main, node), error="timeout") for who, node in alone)
        yield _cell("nodeport-dropped", it, wanted)
    else:
        it = "a client reaches the Service's pods on other nodes than the one whose port it asks"
        far = ((who, node, main.off(node)) for who, node in pairs)
        yield _cell(
            "nodeport-remote", it, (asked(it, who, main, to, to=_port(main, node)) for who, node, to in far if to)
        )


def _port(main: Front, node: str) -> str:
    return f"node/{node}:{main.port.node_port}"


def _external(here: Ground, main: Front) -> Iterator[Cell]:
    addresses = [words.socket(one, main.port.port) for one in main.external]
    ranges = [ip_network(text) for text in main.service.spec.load_balancer_source_ranges]
    known = {f"client/{one.name}": one.addresses for one in here.cluster.spec.clients}
    let_in = [
        who for who in here.clients if not ranges or any(ip_address(one) in net for one in known[who] for net in ranges)
    ]
    it = "a client reaches the Service by its external address"
    pairs = [(who, to) for who in let_in for to in addresses]
    yield _cell("external", it, (_one(it, who, main, to) for who, to in pairs))
    it = "a client outside of the source ranges is not let in"
    pairs = [(who, to) for who in here.clients if who not in let_in for to in addresses]
    yield _cell("source-ranges", it, (Expectation(it=it, from_=who, to=to, error="timeout") for who, to in pairs))


def _one(it: str, who: str, main: Front, to: str) -> Expectation:
    if main.stays:  # the router decides which node's pods may answer
        return Expectation(it=it, from_=who, to=to, answer=Answer(source=who))
    return asked(it, who, main, main.ends, to=to)


def _cell(name: str, it: str, expectations: Iterable[Expectation]) -> Cell:
    return Cell(name=name, it=it, expectations=tuple(expectations))
