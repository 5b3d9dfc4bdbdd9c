from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from ipaddress import ip_network
from itertools import combinations
from pathlib import Path

import msgspec
import pytest
from msgspec import structs

from lab import catalogue, edits, topology
from lab.controllers import expect
from lab.exercise import judge, vary
from lab.exercise.matrix import matrix
from lab.model.cluster import Cluster
from lab.model.exercise import Cell, ExerciseSpec
from lab.model.finding import Finding
from lab.model.lab import Expectation
from lab.model.verdict import CellSeen, Trial, Verdict, Verified
from lab.parse import exercise as parse
from lab.parse.mistake import Mistakes
from lab.report import verify as report
from lab.report.table import Look
from lab.standing import installed, live
from lab.workshop import labs, scenes

from .exercises import LAB, write


def load(name: str) -> Cluster:
    return topology.load(catalogue.find(name)).cluster


def sticky(cluster: Cluster) -> Cluster:
    """Return a cluster whose Services' clients stay with one pod."""
    services = (
        structs.replace(one, spec=structs.replace(one.spec, session_affinity="ClientIP")) for one in cluster.services
    )
    return replace(cluster, services=tuple(services))


def spec(**fields: object) -> ExerciseSpec:
    said = {"title": "t", "difficulty": 1, "minutes": 1, "may": "m", "success": "s", **fields}
    return msgspec.convert(said, ExerciseSpec)


def cell(cluster: Cluster, name: str) -> list[Expectation]:
    return list(next(one for one in matrix(cluster) if one.name == name).expectations)


def names(cluster: Cluster, *, sync: bool = True) -> list[str]:
    return [one.name for one in matrix(cluster, sync=sync)]


VARIED = spec(vary={"port": ["1", "2", "3"], "pair": [{"node": "node-1", "pod": "a"}, {"node": "node-2", "pod": "b"}]})


def test_a_seed_draws_the_same_again() -> None:
    assert vary.drawn(VARIED, 7) == vary.drawn(VARIED, 7)


def test_seeds_draw_every_choice_and_keep_together_what_goes_together() -> None:
    drawn = [vary.drawn(VARIED, seed) for seed in range(200)]
    assert {one["port"] for one in drawn} == {"1", "2", "3"}
    assert {(one["node"], one["pod"]) for one in drawn} == {("node-1", "a"), ("node-2", "b")}
    assert len({one["pod_cidr"] for one in drawn}) > 50
    assert "pair" not in drawn[0]


def test_the_ranges_that_are_drawn_never_meet() -> None:
    for seed in range(500):
        drawn = vary.drawn(VARIED, seed)
        ranges = [ip_network(value) for key, value in drawn.items() if key.endswith("_cidr")]
        assert len(ranges) == 4
        assert not any(one.overlaps(other) for one, other in combinations(ranges, 2))


def test_an_unlike_seed_draws_another_choice_of_everything() -> None:
    for seed in range(50):
        here, other = (vary.drawn(VARIED, one) for one in (seed, vary.unlike(VARIED, seed)))
        assert [name for name in ("port", "node", "pod") if here[name] == other[name]] == []


def test_where_nothing_varies_the_next_seed_will_do() -> None:
    assert vary.unlike(spec(vary={"port": ["1", "1"]}), 5) == 6


def test_a_cluster_gives_the_addresses_of_its_places_and_of_variables_that_name_one() -> None:
    cluster = load("nodeport")
    found = vary.complete({"asker": "client-a", "other": "nobody"}, cluster)
    assert (found["web_1_ip"], found["web_1_node"], found["web_1_veth"]) == ("10.244.1.2", "node-1", "veth-web-1")
    assert (found["svc_web_ip"], found["svc_web_node_port"]) == ("10.96.0.10", "30080")
    assert (found["node_2_ip"], found["client_ip"]) == ("192.168.0.11", "198.51.100.10")
    assert (found["asker_ip"], found["asker_node"]) == (found["client_a_ip"], "node-1")
    assert "other_ip" not in found


def test_a_lab_has_the_cells_of_what_it_has() -> None:
    inside = [
        "hairpin", "same-node", "remote-node", "from-node", "shares", "pod-to-pod", "pod-to-pod-remote", "node-to-pod",
        "large", "udp", "udp-hairpin", "udp-endpoint-change", "not-reachable",
    ]  # fmt: skip
    assert names(load("clusterip")) == inside
    ports = ["nodeport-local", "nodeport-remote", "nodeport-loopback"]
    assert set(names(load("nodeport"))) >= set(ports)
    assert "refused" in names(load("no-endpoints"))
    assert "affinity" in names(load("session-affinity"))


def test_each_endpoint_is_judged_by_itself_and_must_see_who_asks() -> None:
    (near,) = cell(load("clusterip"), "same-node")
    far = cell(load("clusterip"), "remote-node")
    assert near.answer is not None
    assert (near.from_, near.to, near.shares) == ("pod/client-a", "svc/web:80", "some")
    assert (near.answer.by, near.answer.source) == (("pod/web-1",), "pod/client-a")
    assert [(one.from_, one.answer and one.answer.by) for one in far] == [
        ("pod/client-a", ("pod/web-2",)), ("pod/web-2", ("pod/web-1",)),
    ]  # fmt: skip


def test_where_a_client_stays_with_one_pod_each_of_them_may_be_that() -> None:
    cluster = sticky(load("nodeport"))
    assert not {"hairpin", "same-node", "remote-node", "nodeport-local", "nodeport-remote"} & set(names(cluster))
    for name in ("from-pod", "from-node", "affinity", "nodeport", "nodeport-loopback"):
        for one in cell(cluster, name):
            assert name == "affinity" or (one.answer and one.answer.by == ("pod/web-1", "pod/web-2")), (name, one)


def test_a_pod_that_may_stay_with_itself_need_not_be_seen() -> None:
    seen = {one.from_: one.answer and one.answer.source for one in cell(sticky(load("nodeport")), "from-pod")}
    assert seen == {"pod/client-a": "pod/client-a", "pod/web-2": ""}


def test_where_kube_proxy_masquerades_all_no_pod_need_be_seen() -> None:
    assert all(one.answer and not one.answer.source for one in cell(load("masquerade-all"), "remote-node"))


def test_with_the_policy_local_a_node_without_pods_drops_and_the_others_keep_the_client() -> None:
    cluster = load("traffic-policy-local")
    assert "nodeport-remote" not in names(cluster)
    assert {one.error for one in cell(cluster, "nodeport-dropped")} == {"timeout"}
    assert all(one.answer and one.answer.source == one.from_ for one in cell(cluster, "nodeport-local"))


def test_a_node_port_is_not_expected_on_the_loopback_address_in_nftables_mode() -> None:
    assert "nodeport-loopback" in names(catalogue.choose("nodeport", mode="iptables").cluster)
    assert "nodeport-loopback" not in names(catalogue.choose("nodeport", mode="nftables").cluster)


def test_without_kube_proxy_no_change_of_endpoints_is_expected_to_be_followed() -> None:
    assert "udp-endpoint-change" not in names(load("clusterip"), sync=False)


def test_the_udp_client_keeps_its_port_while_each_pod_goes_once() -> None:
    (one,) = cell(load("clusterip"), "udp-endpoint-change")
    assert one.local_port
    assert [step.change for step in one.then] == [
        {"pod/web-1": "unready"},
        {"pod/web-1": "ready", "pod/web-2": "unready"},
    ]


def test_a_pod_that_a_fix_has_added_may_answer_the_udp_client_and_goes_with_the_others() -> None:
    cluster = load("clusterip")
    more = edits.scale(cluster, "web", 3)
    (one,) = next(cell for cell in matrix(cluster, now=more) if cell.name == "udp-endpoint-change").expectations
    first, last = one.then
    assert one.answer is not None
    assert first.answer is not None
    assert one.answer.by == ("pod/web-1", "pod/web-2", "pod/web-3")
    assert first.answer.by == ("pod/web-2", "pod/web-3")
    assert last.change == {"pod/web-1": "ready", "pod/web-2": "unready", "pod/web-3": "unready"}
    assert [cell.name for cell in matrix(cluster, now=more)] == names(cluster)


def test_what_is_last_is_tried_when_all_else_has_been(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    probe = "  - {{name: {}, it: x, from: client-a, to: svc/web, last: {}}}\n"
    spec = "  probes:\n" + probe.format("behind", "true") + probe.format("before", "false")
    made = scenes.scene(parse.read(write(tmp_path, spec=spec)), 1)
    batches: list[list[str]] = []

    def tried(_lab: object, cells: Sequence[Cell], _progress: object) -> dict[str, CellSeen]:
        batches.append([one.name for one in cells])
        return {one.name: CellSeen(name=one.name, it=one.it, state="green") for one in cells}

    monkeypatch.setattr(labs, "_tried", tried)
    monkeypatch.setattr(installed, "rewrite", lambda *_: [])
    monkeypatch.setattr(live, "held", lambda *_: nullcontext(made.completed))
    verdict = labs.look(made, None, lambda *_: None)  # type: ignore[arg-type] # nobody asks it
    *others, last = batches
    assert last == ["behind"]
    assert "before" in others[0]
    assert "behind" not in [name for batch in others for name in batch]
    assert [cell.name for cell in verdict.cells][-2:] == ["behind", "before"]


def test_an_address_that_the_router_sends_in_is_no_secret() -> None:
    routed = LAB.replace("network: {", "clients: [{name: client}]\n  network: {").replace("${pod_cidr}", "10.1.0.0/16")
    routed = routed.replace("${service_cidr}", "10.2.0.0/16")
    assert "not-reachable" in names(topology.read(routed, "x").cluster)
    open_ = routed.replace('"10.2.0.0/16"', '"10.2.0.0/16", routes: [{to: 10.2.0.0/16, via: node-1}]')
    assert "not-reachable" not in names(topology.read(open_, "x").cluster)


@pytest.mark.parametrize("entry", catalogue.entries(), ids=lambda entry: entry.name)
def test_the_matrix_of_every_topology_means_something_in_it(entry: catalogue.Entry) -> None:
    cluster, out = topology.load(entry.folder).cluster, Mistakes()
    every = matrix(cluster)
    wanted = tuple(wanted for found in every for wanted in found.expectations)
    lab = structs.replace(cluster.lab, spec=structs.replace(cluster.spec, expect=wanted))
    expect.check(replace(cluster, lab=lab), out)
    assert out.kept == []
    assert len({found.name for found in every}) == len(every)


def finding(*, holds: bool) -> Finding:
    return Finding(it="i", what="answer", expected="e", observed="o", holds=holds)


def verdict(**states: str) -> Verdict:
    made = (CellSeen(name=name, it=name, state=state) for name, state in states.items())  # type: ignore[arg-type]
    return Verdict(cells=tuple(made))


def test_a_cell_is_green_only_if_each_finding_of_each_expectation_holds() -> None:
    first, then = (Expectation(it="i", from_=asker, to="svc/web") for asker in ("web-1", "client-a"))
    one = Cell(name="c", it="i", expectations=(first, then))
    good, bad = (finding(holds=True),), (finding(holds=True), finding(holds=False))
    assert judge.seen(one, [[good], [good, good]]).state == "green"
    red = judge.seen(one, [[good], [good, bad]])
    assert red.state == "red"
    assert list(red.tried) == [(first, good), (then, good), (then, bad)]  # who asked, also of a step


def test_a_verdict_holds_only_if_all_was_tried_is_green_and_stays_so() -> None:
    assert verdict(a="green").holds
    assert not verdict(a="green", b="untried").holds
    assert not verdict(a="red").holds
    assert not Verdict(cells=(), stable=False).holds


def test_what_is_red_must_be_exactly_what_is_announced() -> None:
    told = spec(red=["a", "b"])
    assert judge.lies(told, verdict(a="red", b="red", c="green")) == ()
    assert judge.lies(told, verdict(a="red", b="green", c="red", d="untried")) == (
        "announced as red, and not red after the break: b",
        "red after the break, and not announced: c",
    )


def test_a_cost_that_no_solution_has_is_a_mistake() -> None:
    told = spec(costs=[{"it": "i", "from": "a", "to": "b", "says": "works, but"}])
    assert judge.not_shown(told, ["works, but"], "x.yaml") == ()
    assert judge.not_shown(told, [], "x.yaml") == (
        "x.yaml: no fix in solve/ has the cost 'works, but': add one that has it, or drop it",
    )


def test_a_cell_that_is_left_out_is_not_tried() -> None:
    cluster = load("clusterip")
    left = [one.name for one in judge.cells(spec(leave={"udp": "why"}), cluster)]
    assert left == [name for name in names(cluster) if name != "udp"]


def test_the_report_tells_what_is_wrong_with_which_fix_and_seed_and_the_time_on_the_wall() -> None:
    who = Expectation(it="i", from_="pod/web-1", to="svc/web:80")
    bad = CellSeen(name="hairpin", it="i", state="red", findings=((finding(holds=False),),), asked=(who,))
    trials = (
        Trial(stage="before", seed=1, began_s=50.0, took_s=1.0),
        Trial(stage="broken", seed=1, began_s=51.0, took_s=1.0),
        Trial(stage="wrong", seed=1, script="wrong/x.sh", began_s=50.0, took_s=1.0),
        Trial(
            stage="solve", seed=2, script="solve/y.sh", wrong=("red: hairpin",), cells=(bad,), began_s=51.0, took_s=2.0
        ),
        Trial(stage="solve", seed=1, script="solve/z.sh", costs=("works, but",), began_s=50.5, took_s=2.0),
    )
    found = [Verified(exercise="small", trials=trials), Verified(exercise="big", not_tried="needs root")]
    assert report.text(found, 4.0).splitlines() == [
        "EXERCISE  BEFORE    BROKEN    WRONG FIXES  SOLUTIONS        TOOK",
        "small     ✓ 1.0 s   ✓ 1.0 s   ✓ 1.0 s      ✗ 1 of 2 2.5 s  3.0 s",
        "big       left out  left out  left out     left out            -",
        "",
        "small, solve/y.sh, with seed 2",
        "red: hairpin",
        "",
        "hairpin, web-1 -> svc/web:80: i",
        "   WHAT    EXPECTED  OBSERVED",
        "✗  answer  e         o",
        "",
        "small, solve/z.sh: works, but",
        "",
        "left out: big: needs root",
        "1 of 1 exercise not as they say, in 4.0 s",
    ]
    told = report.data(found, 4.0)
    assert (told["holds"], told["exercises"][0]["trials"][3]["cells"][0]["name"]) == (False, "hairpin")
    assert [one["took_s"] for one in told["exercises"]] == [3.0, 0.0]
    assert report.text([Verified(exercise="true", trials=trials[:3])], 4.0).endswith("\n\n1 exercise proven, in 4.0 s")


def test_what_is_wrong_with_an_exercise_is_told_in_lines_that_fit_and_what_a_script_printed_as_it_is() -> None:
    printed = f"break.sh: exit 1, with seed 1\n    {'printed ' * 20}"
    wrong = (f"announced as red, and not red after the break: {', '.join(['remote-node'] * 20)}", printed)
    found = [
        Verified(exercise="small", trials=(Trial(stage="broken", seed=1, wrong=wrong),)),
        Verified(exercise="big", mistakes=(f"exercise.yaml:26:5: expected {'one of these, ' * 20}",)),
    ]
    told = report.text(found, 1.0, Look(width=80)).splitlines()
    assert printed.splitlines()[1] in told
    assert max(len(line) for line in told if "printed" not in line) <= 80
