"""Expectations of journeys, marks and rules: what one request met, whatever else is under way."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import pytest

from lab import api
from lab.model.request import Request
from lab.model.trace import Evidence
from lab.packets import trace
from lab.standing.session import Standing

MODES = [{"iptables": "nft"}, {"iptables": "legacy"}, {"mode": "nftables"}]
FROM_POD = [
    "KUBE-SERVICES > KUBE-SVC", "KUBE-SVC > KUBE-SEP", "KUBE-SEP > DNAT", "KUBE-FORWARD > ACCEPT",
    "KUBE-POSTROUTING > RETURN", "services > service", "service > dnat",
]  # fmt: skip
JOURNEY = {
    "contains": ["choose on node-1", "dnat on node-1", "reply-translated on node-1"],
    "without": ["mark", "masquerade", "drop"],
    "end": "delivered",
}
BUSY = "(while :; do curl -s -m 1 10.96.0.10; done) >/dev/null 2>&1 &"


@pytest.mark.usefixtures("runtime")
@pytest.mark.parametrize("options", MODES)
def test_only_what_the_request_itself_met_counts_in_every_mode(options: dict[str, str]) -> None:
    with api.up("clusterip", **options) as lab:  # type: ignore[arg-type] # words of each option's own
        lab.node("node-1").exec(BUSY)  # masqueraded, through the same chains
        for _ in range(3):
            lab.expect(
                from_="client-a",
                to="svc/web",
                journey=JOURNEY,
                rules={"node": "node-1", "hit": FROM_POD},
                mark=[{"node": "node-1", "at": at, "is": 0} for at in ("prerouting", "forward", "postrouting")],
            )
        with pytest.raises(api.ExpectationError) as failed:
            lab.expect(from_="node-1", to="svc/web", journey=JOURNEY, rules={"node": "node-1", "hit": FROM_POD})
        wrong = {one.what: one.observed for one in failed.value.failed[0] if not one.holds}
        assert set(wrong) == {"journey without", "rules on node-1"}
        assert "masquerade on node-1" in wrong["journey without"].replace(", reply-translated", "")
        tables = lab.node("node-1").exec("nft list tables").stdout
        assert "hairpin" not in tables


@pytest.mark.usefixtures("runtime")
def test_a_step_has_a_journey_of_its_own() -> None:
    with api.up("clusterip") as lab:
        judged = lab.expect(
            from_="client-a",
            to="svc/web",
            journey=["dnat on node-1"],
            then=[
                {
                    "it": "nobody is left",
                    "change": {"web-1": "unready", "web-2": "unready"},
                    "error": "refused",
                    "journey": {"contains": ["reject on node-1"], "without": ["dnat"], "end": "refused on node-1"},
                }
            ],
        )
        assert [len(findings) for findings in judged] == [1, 4]


@pytest.mark.usefixtures("runtime")
def test_of_requests_that_are_made_to_rule_out_luck_the_first_one_is_traced() -> None:
    with api.up("clusterip") as lab, pytest.raises(api.ExpectationError) as failed:
        lab.expect(from_="client-a", to="svc/web", answer={"by": "web-1"}, journey=["dnat"])
    answer, journey = failed.value.failed[0]
    assert sum(int(part.split(" x ")[0]) for part in answer.observed.split(", ")) == 20
    assert journey.holds


@pytest.mark.usefixtures("runtime")
def test_an_expectation_whose_evidence_was_lost_fails_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    real = trace.of

    def lossy(lab: Standing, request: Request) -> Evidence:
        found = real(lab, request)
        listings = tuple(replace(one, steady=one.netns != "node-2") for one in found.listings)
        return replace(found, lost={"node-1": 12}, left_out=1, listings=listings)

    with api.up("clusterip") as lab:
        monkeypatch.setattr(trace, "of", lossy)
        with pytest.raises(api.ExpectationError) as failed:
            lab.expect(from_="client-a", to="pod/web-2", journey={"without": ["dnat"]})
    ((finding,),) = failed.value.failed
    assert "12 events lost on node-1" in finding.observed
    assert "1 event not kept" in finding.observed
    assert "the rules of node-2 changed meanwhile" in finding.observed


def test_a_journey_is_written_in_a_topology_as_in_a_program(runtime: Path, tmp_path: Path) -> None:
    """Places may be said as everywhere."""
    text = """
        apiVersion: hairpin/v1alpha1
        kind: Lab
        metadata: {name: said}
        spec:
          expect:
          - it: one
            from: asker
            to: pod/web
            journey: {via: [node-1], end: delivered on pod/default/web}
          - it: other
            from: asker
            to: pod/web
            journey: [drop on router]
        ---
        {apiVersion: v1, kind: Pod, metadata: {name: asker}}
        ---
        {apiVersion: v1, kind: Pod, metadata: {name: web}, spec: {containers: [{ports: [{containerPort: 80}]}]}}
    """
    file = tmp_path / "lab.yaml"
    file.write_text(dedent(text))
    with api.up(file) as lab:
        assert [all(one.holds for one in findings) for findings in lab.check().judged] == [True, False]
    assert not list(runtime.iterdir())
