"""Ports that are known to conntrack: a check does not ask from one, and a trace tells what becomes of who does.

What a request's replies would have in common with another flow's decides, so each test has a few ports to itself: the
asker has no others to choose from, and some of them are taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count

import pytest

from lab import api, check
from lab.ask import ports
from lab.journey import assemble
from lab.kernel import netns, sysctl
from lab.model.lab import Expectation, FlowExpectation, JourneyExpectation
from lab.model.request import Request
from lab.packets import trace
from lab.standing import observe
from lab.standing.meter import silently

RANGE = "net.ipv4.ip_local_port_range"
FRESH = count(40_000, 10)
UNTOUCHED = FlowExpectation(node="node-1", dnat=False, snat=False)
UNTOLD = JourneyExpectation(without=("masquerade", "port-changed", "reply-translated"), end="delivered")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[api.Lab]:
    """Give the topology clusterip, for all tests here."""
    with pytest.MonkeyPatch.context() as patch:
        place = tmp_path_factory.mktemp("runtime", numbered=True)
        place.chmod(0o700)
        patch.setenv("XDG_RUNTIME_DIR", str(place))
        patch.delenv("HAIRPIN_LAB", raising=False)
        with api.up("clusterip") as one:
            yield one


def limited(lab: api.Lab, number: int) -> tuple[int, ...]:
    """Leave client-a so many ports that nobody has asked from, of which the first is even, and return them."""
    first = next(FRESH)

    def write() -> None:
        with netns.inside("client-a"):
            sysctl.write(RANGE, f"{first} {first + number - 1}")

    lab.standing.call(write)
    return tuple(range(first, first + number))


def asked_from(lab: api.Lab, port: int) -> str:
    """Ask the Service from a port, and return the pod that answered: its flow is known by that port for two minutes."""
    reply = lab.pod("client-a").curl("svc/web", local_port=port)
    assert reply.answered
    return reply.pod


def together(lab: api.Lab, wanted: Expectation) -> check.Judged:
    (judged,) = check.several(lab.standing, [wanted], silently)
    return judged


def in_turn(lab: api.Lab, wanted: Expectation) -> check.Judged:
    return check.one(lab.standing, wanted, lambda *_: None)


# Left to itself connect(2) takes one of the even ports, and bind(2) one of the odd.
@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("how", [together, in_turn])
@pytest.mark.parametrize("expected", [{"flow": UNTOUCHED}, {"journey": UNTOLD}], ids=["flow", "journey"])
def test_a_check_asks_from_no_port_from_which_another_flow_went_to_the_same_pod(
    lab: api.Lab,
    which: int,
    how: Callable[[api.Lab, Expectation], check.Judged],
    expected: dict[str, FlowExpectation | JourneyExpectation],
) -> None:
    pod = asked_from(lab, limited(lab, 2)[which])
    wanted = Expectation(it="it goes as it is", from_="client-a", to=f"pod/{pod}", **expected)  # type: ignore[arg-type]
    assert [one for part in how(lab, wanted) for one in part if not one.holds] == []


@pytest.mark.parametrize("which", [0, 1])
def test_a_datagram_of_a_check_belongs_to_no_flow_that_is_there(lab: api.Lab, which: int) -> None:
    port = limited(lab, 2)[which]
    assert lab.pod("client-a").curl("svc/echo", udp=True, local_port=port).answered
    lab.expect(from_="client-a", to="svc/echo", protocol="udp", journey=["choose", "dnat"])


def test_requests_that_are_made_at_once_get_a_port_each_that_no_flow_has(lab: api.Lab) -> None:
    own = limited(lab, 4)
    asked = request(lab, f"pod/{asked_from(lab, own[0])}")
    assert chosen(lab, [(asked, observe.ends(lab.cluster, asked))] * 3) == set(own[1:])


@pytest.mark.parametrize("which", [0, 1])
def test_a_flow_that_went_to_an_endpoint_that_is_gone_is_known_by_the_address_that_was_asked(
    lab: api.Lab, which: int
) -> None:
    own = limited(lab, 2)
    asked_from(lab, own[which])
    asked = request(lab, "svc/web")
    assert chosen(lab, [(asked, [(asked.address, asked.port)])]) == {own[1 - which]}


@pytest.mark.parametrize("which", [0, 1])
def test_a_port_that_one_request_names_is_no_others(lab: api.Lab, which: int) -> None:
    own = limited(lab, 2)
    asked = request(lab, "pod/web-1")
    named = replace(asked, local_port=own[which])
    assert chosen(lab, [(asked, ()), (named, ())]) == {own[1 - which]}


def request(lab: api.Lab, to: str) -> Request:
    return observe.request(lab.cluster, "client-a", to, port=None, protocol="tcp")[0]


def chosen(lab: api.Lab, asked: list[tuple[Request, ports.Ends]]) -> set[int]:
    """Return the ports that requests would be made from."""
    nodes = observe.node_names(lab.cluster)
    found: set[int] = lab.standing.call(lambda: {one.getsockname()[1] for one in ports.bound(asked, nodes).values()})
    return found


def test_where_every_port_is_known_the_request_is_made_all_the_same(lab: api.Lab) -> None:
    one, other = limited(lab, 2)
    pod = asked_from(lab, one)
    assert lab.pod("client-a").curl(f"pod/{pod}", local_port=other).answered
    lab.expect(from_="client-a", to=f"pod/{pod}", answer={"by": pod})


def test_a_port_that_an_expectation_names_is_the_one_that_is_asked_from(lab: api.Lab) -> None:
    port, _ = limited(lab, 2)
    pod = asked_from(lab, port)
    with pytest.raises(api.ExpectationError) as failed:
        lab.expect(from_="client-a", to=f"pod/{pod}", local_port=port, journey={"without": ["port-changed"]})
    ((finding,),) = failed.value.failed
    assert finding.observed == "port-changed, reply-translated on node-1"


def test_a_trace_does_not_call_masqueraded_what_no_rule_did(lab: api.Lab) -> None:
    (port,) = limited(lab, 1)
    pod = asked_from(lab, port)
    told = assemble(trace.trace(lab.standing, "client-a", f"pod/{pod}", local_port=port))
    assert told.moments == ("port-changed", "reply-translated")
    (step, _) = (step for step in told.steps if step.moments)
    assert (step.node, step.hook, step.before.src, step.before.sport) == ("node-1", "POSTROUTING", step.after.src, port)
    assert step.after.sport != port
    assert told.reply.source == (step.after.src, step.after.sport)
