"""What rules of others do to a packet, in labs of each tool: each is told as what it did, by trace and watch."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from lab.journey import assemble
from lab.judge.predicted import predicted
from lab.kernel import command
from lab.packets import trace
from lab.standing import session

from .conftest import Invoke
from .test_trace import TOOLS
from .test_watch import lines, watching

Lab = Callable[..., Invoke]

NFT = "add table ip x; add chain ip x c {{ type {} hook {} priority {}; }}; add rule ip x c {}"

# How a rule is made by iptables, how by nft; in which hook it matched, its moment, and what became of the request.
FAULTS = [
    (
        "-t nat -I PREROUTING -p tcp -j REDIRECT --to-port 9",
        NFT.format("nat", "prerouting", -105, "tcp dport 80 redirect to :9"),
        ("PREROUTING", "dnat", "delivered"),
    ),
    (
        "-t raw -I PREROUTING -p tcp -j NOTRACK",
        NFT.format("filter", "prerouting", -300, "notrack"),
        ("PREROUTING", "untracked", "lost"),
    ),
    (
        "-t mangle -I FORWARD -p tcp -j TTL --ttl-set 9",
        NFT.format("filter", "forward", -150, "ip ttl set 9"),
        ("FORWARD", "act", "delivered"),
    ),
    (
        "-t nat -I POSTROUTING -p tcp -j SNAT --to-source 192.168.0.10",
        NFT.format("nat", "postrouting", 90, "meta l4proto tcp snat to 192.168.0.10"),
        ("POSTROUTING", "snat", "delivered"),
    ),
]


def broken(name: str, iptables: str, nft: str) -> None:
    made = ("nft", nft) if name == "nft" else (name, *iptables.split())
    session.attach().call(partial(command.check, made, netns="node-1"))


@pytest.mark.parametrize(("iptables", "nft", "wanted"), FAULTS)
@pytest.mark.parametrize("name", TOOLS)
def test_a_rule_of_others_is_told_by_what_it_did(
    lab: Lab, name: str, iptables: str, nft: str, wanted: tuple[str, str, str]
) -> None:
    lab("clusterip", *TOOLS[name])
    broken(name, iptables, nft)
    found = trace.trace(session.attach(), "client-a", "svc/web", timeout_s=0.3, whole=True)
    journey = assemble(found)
    hook, moment, end = wanted
    step = next(step for step in journey.steps if moment in step.moments and "KUBE" not in step.chain)
    if moment == "dnat":
        step = next(step for step in journey.steps if step.after.dport == 9)
    assert (step.kind, step.node, step.hook, step.observed, step.matters) == ("rule", "node-1", hook, True, True)
    assert (journey.legs[0].end.kind, journey.service) == (end, "default/web:http")
    assert predicted(journey, found).agrees


@pytest.mark.parametrize("name", TOOLS)
def test_a_watch_tells_of_a_rule_that_redirects(lab: Lab, name: str) -> None:
    invoke = lab("clusterip", *TOOLS[name])
    broken(name, *FAULTS[0][:2])
    with watching("--node", "node-1") as watch:
        invoke("lab.curl", "client-a", "svc/web", "--timeout", "0.3")
        assert ": dnat" in lines(watch, lambda line: " RULES " in line)[-1]
