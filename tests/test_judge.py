from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import msgspec
import pytest

from lab import judge, shares
from lab.model.cluster import Cluster
from lab.model.finding import Finding
from lab.model.flow import Flow, Tuple
from lab.model.lab import Expectation, Lab, LabMeta, LabSpec, Network
from lab.model.observation import Observation, Resolved
from lab.model.proxy_config import KubeProxyConfiguration
from lab.model.request import Reply

CLIENT, WEB_1, WEB_2 = ip_address("10.244.1.2"), ip_address("10.244.1.3"), ip_address("10.244.2.2")
BRIDGE, NODE_1, VIP = ip_address("10.244.1.1"), ip_address("192.168.0.11"), ip_address("10.96.0.10")
RESOLVED = Resolved(
    addresses={
        "client-a": frozenset({CLIENT}),
        "web-1": frozenset({WEB_1}),
        "web-2": frozenset({WEB_2}),
        "node-1": frozenset({BRIDGE, NODE_1}),
    },
    endpoints=("web-1", "web-2"),
    names={CLIENT: "client-a", WEB_1: "web-1", WEB_2: "web-2", VIP: "svc/web", BRIDGE: "node-1/cbr0", NODE_1: "node-1"},
)


def expect(**fields: Any) -> Expectation:
    return msgspec.convert({"it": "it holds", "from": "client-a", "to": "svc/web", **fields}, Expectation)


def reply(pod: str = "web-2", *, error: str = "", latency_s: float = 0.0008) -> Reply:
    if error:
        return Reply(error=error, local=(CLIENT, 40212), latency_s=latency_s)
    end = (CLIENT, 40212)
    return Reply(status=200, pod=pod, node="node-2", source=end, local=end, latency_s=latency_s)


def flow(node: str = "node-1", *, dnat: bool = True, snat: bool = False, answered: bool = True) -> Flow:
    to = (WEB_2, 8080) if dnat else (VIP, 80)
    back = (BRIDGE, 12345) if snat else (CLIENT, 40212)
    return Flow(
        node=node,
        protocol="tcp",
        original=Tuple(src=CLIENT, sport=40212, dst=VIP, dport=80),
        reply=Tuple(src=to[0], sport=to[1], dst=back[0], dport=back[1]),
        status=frozenset({"seen_reply"} if answered else ()),
    )


def judged(expectation: Expectation, *replies: Reply, flows: tuple[Flow, ...] = ()) -> dict[str, Finding]:
    findings = judge.judge(expectation, Observation(replies=replies or (reply(),), flows=flows), RESOLVED)
    assert len({finding.what for finding in findings}) == len(findings)
    assert all(finding.it == "it holds" for finding in findings)
    return {finding.what: finding for finding in findings}


def only(findings: dict[str, Finding]) -> Finding:
    (finding,) = findings.values()
    return finding


def test_an_answer_by_a_pod_that_may_give_it_holds() -> None:
    finding = only(judged(expect(answer={"by": ["web-1", "web-2"]})))
    assert finding == Finding(
        it="it holds", what="answer", expected="answered by web-1 or web-2", observed="answered by web-2 in 0.8 ms",
        holds=True,
    )  # fmt: skip
    assert only(judged(expect(answer={"by": "web-2"}))).holds


@pytest.mark.parametrize(
    ("got", "observed"),
    [(reply("web-3"), "answered by web-3 in 0.8 ms"), (reply(error="timeout", latency_s=1.0), "timeout after 1.0 s")],
)
def test_another_answer_or_none_fails(got: Reply, observed: str) -> None:
    finding = only(judged(expect(answer={"by": ["web-1", "web-2"]}), got))
    assert (finding.holds, finding.observed) == (False, observed)


def test_an_expectation_that_says_nothing_wants_an_answer_from_anyone() -> None:
    assert only(judged(expect(), reply("web-9"))).holds
    assert not only(judged(expect(), reply(error="refused"))).holds


def test_one_wrong_answer_among_many_fails_and_is_counted() -> None:
    finding = only(judged(expect(answer={"by": "web-2"}), reply(), reply(), reply(error="reset")))
    assert (finding.holds, finding.observed) == (False, "2 x answered by web-2, 1 x reset")


def test_the_source_that_the_server_saw_is_compared_by_address() -> None:
    wanted = expect(answer={"source": "client-a"})
    assert judged(wanted)["source"].holds
    masqueraded = replace(reply(), source=(BRIDGE, 40212))
    finding = judged(wanted, masqueraded)["source"]
    assert not finding.holds
    assert (finding.expected, finding.observed) == ("client-a 10.244.1.2", "node-1/cbr0 10.244.1.1")
    assert judged(expect(answer={"source": "node-1"}), masqueraded)["source"].holds
    assert not judged(wanted, reply(), masqueraded)["source"].holds
    silent = judged(wanted, reply(error="timeout"))["source"]
    assert (silent.holds, silent.observed) == (False, "no answer")


@pytest.mark.parametrize("error", ["refused", "timeout", "unreachable", "reset"])
def test_an_error_holds_when_the_client_saw_that_errno_and_no_other(error: str) -> None:
    finding = only(judged(expect(error=error), reply(error=error, latency_s=0.0002)))
    assert (finding.what, finding.expected, finding.observed) == ("error", error, f"{error} after 0.2 ms")
    assert finding.holds
    assert not only(judged(expect(error=error), reply(error="eacces"))).holds


def test_an_answer_where_an_error_is_expected_fails_and_says_who_answered() -> None:
    finding = only(judged(expect(error="refused"), reply("web-1")))
    assert (finding.holds, finding.observed) == (False, "answered by web-1 in 0.8 ms")


def test_an_answered_flow_is_expected_on_the_named_node_alone() -> None:
    wanted = expect(flow={"node": "node-1"})
    assert judged(wanted, flows=(flow(),))["flow on node-1"].holds
    assert judged(wanted, flows=(flow(),))["flow on node-1"].observed == (
        "answered, client-a 10.244.1.2:40212 -> svc/web 10.96.0.10:80"
    )
    assert not judged(wanted, flows=(flow(answered=False),))["flow on node-1"].holds
    elsewhere = judged(wanted, flows=(flow("node-2"),))["flow on node-1"]
    assert (elsewhere.holds, elsewhere.observed) == (False, "none")


def test_no_reply_leaves_an_unanswered_flow_or_none() -> None:
    wanted = expect(error="timeout", flow={"node": "node-1", "answered": False})
    late = reply(error="timeout")
    assert judged(wanted, late)["flow on node-1"].holds
    assert judged(wanted, late, flows=(flow(answered=False),))["flow on node-1"].holds
    assert not judged(wanted, late, flows=(flow(),))["flow on node-1"].holds


@pytest.mark.parametrize(
    ("wanted", "made", "holds", "observed"),
    [
        (True, True, True, "svc/web 10.96.0.10:80 -> web-2 10.244.2.2:8080"),
        (True, False, False, "no DNAT: svc/web 10.96.0.10:80"),
        (False, False, True, "no DNAT: svc/web 10.96.0.10:80"),
        (False, True, False, "svc/web 10.96.0.10:80 -> web-2 10.244.2.2:8080"),
        ("web-2", True, True, "svc/web 10.96.0.10:80 -> web-2 10.244.2.2:8080"),
        ("web-1", True, False, "svc/web 10.96.0.10:80 -> web-2 10.244.2.2:8080"),
        ("web-2", False, False, "no DNAT: svc/web 10.96.0.10:80"),
    ],
)
def test_dnat_is_read_from_the_tuples(wanted: bool | str, made: bool, holds: bool, observed: str) -> None:
    finding = judged(expect(flow={"node": "node-1", "dnat": wanted}), flows=(flow(dnat=made),))["DNAT on node-1"]
    assert (finding.holds, finding.observed) == (holds, observed)


@pytest.mark.parametrize(
    ("wanted", "made", "holds", "observed"),
    [
        (True, True, True, "client-a 10.244.1.2:40212 -> node-1/cbr0 10.244.1.1:12345"),
        (True, False, False, "no SNAT: client-a 10.244.1.2:40212"),
        (False, False, True, "no SNAT: client-a 10.244.1.2:40212"),
        (False, True, False, "client-a 10.244.1.2:40212 -> node-1/cbr0 10.244.1.1:12345"),
        ("node-1", True, True, "client-a 10.244.1.2:40212 -> node-1/cbr0 10.244.1.1:12345"),
        ("web-1", True, False, "client-a 10.244.1.2:40212 -> node-1/cbr0 10.244.1.1:12345"),
        ("client-a", False, False, "no SNAT: client-a 10.244.1.2:40212"),
    ],
)
def test_snat_is_read_from_the_tuples(wanted: bool | str, made: bool, holds: bool, observed: str) -> None:
    finding = judged(expect(flow={"node": "node-1", "snat": wanted}), flows=(flow(snat=made),))["SNAT on node-1"]
    assert (finding.holds, finding.observed) == (holds, observed)


@pytest.mark.parametrize(("wanted", "text"), [(True, "DNAT"), (False, "no DNAT"), ("web-1", "DNAT to web-1")])
def test_a_translation_is_expected_in_words(wanted: bool | str, text: str) -> None:
    assert judged(expect(flow={"node": "node-1", "dnat": wanted}))["DNAT on node-1"].expected == text


def test_a_flow_that_is_not_there_has_no_translation_to_show() -> None:
    missing = judged(expect(flow={"node": "node-1", "dnat": True, "snat": False}))
    assert [finding.holds for finding in missing.values()] == [False, False, False]
    unneeded = judged(expect(flow={"node": "node-1", "answered": False, "dnat": "web-1", "snat": False}))
    assert [finding.holds for finding in unneeded.values()] == [True, False, True]


def test_flows_on_several_nodes_are_judged_each_by_its_own() -> None:
    wanted = expect(flow=[{"node": "node-1", "snat": False}, {"node": "node-2", "dnat": False}])
    found = judged(wanted, flows=(flow(), flow("node-2", dnat=False)))
    assert list(found) == ["flow on node-1", "SNAT on node-1", "flow on node-2", "DNAT on node-2"]
    assert all(finding.holds for finding in found.values())


def test_equal_shares_are_asked_for_by_as_many_requests_as_the_bound_needs() -> None:
    assert judge.requests_needed(expect(shares="equal"), RESOLVED) == 131
    assert judge.requests_needed(expect(shares="equal", answer={"by": ["a", "b", "c"]}), RESOLVED) == 297
    assert judge.requests_needed(expect(), RESOLVED) == 1


@pytest.mark.parametrize(
    ("first", "holds"), [(65, True), (33, True), (98, True), (32, False), (99, False), (131, False)]
)
def test_shares_hold_within_the_fair_bounds(first: int, holds: bool) -> None:
    replies = [reply("web-1")] * first + [reply("web-2")] * (131 - first)
    finding = only(judged(expect(shares="equal"), *replies))
    assert finding.holds == holds
    assert finding.expected == "equal: 33 to 98 of 131 each"
    assert finding.observed == f"web-1 {first} and web-2 {131 - first}"


@pytest.mark.parametrize("stray", [reply("web-3"), reply(error="timeout")])
def test_shares_fail_when_one_request_went_elsewhere(stray: Reply) -> None:
    replies = [reply("web-1")] * 47 + [reply("web-2")] * 47 + [stray]
    assert not only(judged(expect(shares="equal"), *replies)).holds


def test_an_error_is_no_answer_of_a_pod_that_is_called_as_it_is() -> None:
    answered, silence = reply("web-1"), reply(error="timeout")
    for expected, asked in (("equal", [answered] * 66 + [silence] * 65), ("some", [answered, silence])):
        wanted = expect(shares=expected, answer={"by": ["web-1", "timeout"]})
        assert not judged(wanted, *asked)["shares"].holds


def test_shares_of_many_endpoints_name_the_extremes() -> None:
    pods = [f"web-{number}" for number in range(1, 21)]
    replies = [reply(pod) for pod in pods for _ in range(100)]
    finding = judged(expect(shares="equal", answer={"by": pods}), *replies)["shares"]
    assert finding.holds
    assert finding.observed.count("web-") == 6


def test_shares_without_endpoints_fail_in_words() -> None:
    findings = judge.judge(expect(shares="equal"), Observation(replies=(reply(error="refused"),)), Resolved())
    assert [finding.holds for finding in findings] == [False]
    assert findings[0].expected == "equal, but no endpoint is known"


def test_names_are_those_that_have_to_be_resolved_once_each() -> None:
    wanted = expect(
        answer={"by": "web-1", "source": "client-a"},
        flow=[{"node": "node-1", "dnat": "web-1", "snat": False}, {"node": "node-2", "snat": "client-a"}],
    )
    assert judge.names(wanted) == ("client-a", "web-1")
    assert judge.names(expect()) == ()


def cluster(*, mode: Any = "", iptables: Any = "nft", **network: Any) -> Cluster:
    spec = LabSpec(network=Network(**network), iptables=iptables)
    proxy = KubeProxyConfiguration(mode=mode)
    return Cluster(lab=Lab(metadata=LabMeta(name="x"), spec=spec), proxy=proxy)


@pytest.mark.parametrize(
    ("when", "lab", "applies"),
    [
        ({}, {}, True),
        ({"mode": "iptables"}, {}, True),
        ({"mode": "nftables"}, {}, False),
        ({"mode": "nftables"}, {"mode": "nftables"}, True),
        ({"hairpinMode": "none"}, {"hairpin_mode": "none"}, True),
        ({"hairpinMode": "none"}, {}, False),
        ({"iptables": "legacy"}, {"iptables": "legacy"}, True),
        ({"iptables": "legacy"}, {}, False),
        ({"iptables": "nft"}, {"mode": "nftables"}, False),
        ({"mode": "iptables", "hairpinMode": "none"}, {}, False),
        ({"hairpinMode": "hairpin-veth"}, {"plugin": "ptp"}, False),
        ({"plugin": "ptp"}, {"plugin": "ptp"}, True),
        ({"plugin": "ptp"}, {}, False),
        ({"overlay": "vxlan"}, {"overlay": "vxlan"}, True),
        ({"overlay": "none"}, {"overlay": "vxlan"}, False),
    ],
)
def test_when_names_the_labs_that_an_expectation_is_for(
    when: dict[str, str],
    lab: dict[str, str],
    applies: bool,
) -> None:
    assert judge.applies(expect(when=when), cluster(**lab)) == applies


def test_a_request_is_matched_by_its_own_socket_and_its_destination() -> None:
    mine = flow()
    other = replace(mine, original=replace(mine.original, sport=40213))
    elsewhere = replace(mine, original=replace(mine.original, dport=81))
    udp = replace(mine, protocol="udp")
    assert judge.matching([other, elsewhere, udp, mine], reply(), VIP, 80) == (mine,)
    assert judge.matching([udp, mine], reply(), VIP, 80, "udp") == (udp,)
    assert judge.matching([mine], reply(error="timeout"), VIP, 80) == (mine,)


def test_a_request_is_followed_to_the_next_node_under_its_new_addresses() -> None:
    first = flow(snat=True)
    onward = replace(first, node="node-2", original=first.reply.inverse, reply=first.reply)
    stranger = replace(onward, original=replace(onward.original, sport=1))
    assert judge.matching([onward, stranger, first], reply(), VIP, 80) == (first, onward)


def test_a_flow_that_two_nodes_see_alike_belongs_on_both() -> None:
    routed = flow("router", dnat=False)
    assert set(judge.matching([routed, flow()], reply(), VIP, 80)) == {routed, flow()}


def test_nothing_is_matched_to_a_request_whose_own_socket_is_unknown() -> None:
    assert judge.matching([flow()], Reply(error="timeout"), VIP, 80) == ()


def test_any_error_holds_where_any_is_expected_and_an_answer_does_not() -> None:
    for error in ("refused", "timeout", "unreachable", "reset"):
        assert only(judged(expect(error="any"), reply(error=error))).holds
    found = only(judged(expect(error="any"), reply(error="timeout"), reply()))
    assert (found.expected, found.holds) == ("no answer", False)


def test_some_shares_are_asked_for_until_no_pod_can_have_been_left_out() -> None:
    assert judge.requests_needed(expect(shares="some"), RESOLVED) == shares.requests_to_reach(2)
    one = expect(shares="some", answer={"by": ["web-1"]})
    assert judge.requests_needed(one, RESOLVED) == shares.requests_to_reach(2)


def test_some_shares_hold_when_each_named_pod_answered_whatever_became_of_the_rest() -> None:
    silence = reply(error="timeout")
    wanted = expect(shares="some", answer={"by": ["web-2"], "source": "client-a"})
    found = judged(wanted, reply("web-2"), silence, silence)
    assert all(finding.holds for finding in found.values())
    assert found["shares"].observed == "web-2 1 and timeout 2"
    assert not judged(wanted, reply("web-1"), silence)["shares"].holds
    assert not judged(expect(shares="some"), reply("web-2"), silence)["shares"].holds


def test_of_some_shares_the_source_is_that_of_the_named_pods_alone() -> None:
    wanted = expect(shares="some", answer={"by": ["web-2"], "source": "client-a"})
    hidden = replace(reply("web-1"), source=(NODE_1, 4000))
    assert judged(wanted, reply("web-2"), hidden)["source"].holds
    assert not judged(wanted, replace(reply("web-2"), source=(NODE_1, 4000)))["source"].holds
