"""Whether exercises are as they say: a true one, and lies of every kind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.exercises import BRIDGE, write

from .conftest import Invoke
from .printed import ok

pytestmark = pytest.mark.once

COST = """  costs:
  - {says: "works, but", it: x, from: client-a, to: svc/web, answer: {source: client-a}}
"""


ASKED = """  questions:
  - {name: truth, ask: x, choices: [a, b], answer: a, proof: {it: x, from: client-a, to: svc/web}}
  - {name: lie, ask: x, choices: [a, b], answer: a, proof: {it: x, from: client-a, to: svc/web, error: timeout}}
"""


NO_SERVICES = "ip netns exec node-1 iptables -t nat -F KUBE-SERVICES\n"
ITSELF = 'ip netns exec node-1 iptables -I FORWARD -s "$web_1_ip" -d "$web_1_ip" -p tcp --syn'
ONCE = f"{BRIDGE} on\n{ITSELF} -j DROP\n{ITSELF} -m limit --limit 1/hour --limit-burst 1 -j ACCEPT\n"
"""A fix that lasts for one request."""


def truths(root: Path) -> None:
    """Write exercises that are as they say: one like any other, and one without kube-proxy."""
    write(root, "true-one")
    alone = {"break": NO_SERVICES, "solve__on": "hairpin lab.sync\n", "spec": "  sync: false\n"}
    mended = write(root, "without-kube-proxy", wrong__promisc=None, **alone)
    announce(mended, "hairpin, same-node, from-node")


def announce(folder: Path, red: str) -> None:
    spec = folder / "exercise.yaml"
    spec.write_text(spec.read_text().replace("red: [hairpin]", f"red: [{red}]"))


def lies(root: Path) -> None:
    """Write exercises, each of which is not as it says in one way."""
    announce(write(root, "announces-more", wrong__promisc=None), "hairpin, same-node")
    write(root, "kube-proxy-mends-it", wrong__promisc=None, **{"break": NO_SERVICES})
    write(root, "solution-lasts-once", wrong__promisc=None, solve__on=ONCE)
    write(
        root,
        "announces-less",
        wrong__promisc=None,
        **{"break": f"{BRIDGE} off\nip netns exec node-1 iptables -I FORWARD -j DROP\n"},
    )
    write(root, "wrong-heals", wrong__promisc=f"{BRIDGE} on\n")
    write(root, "solution-does-not", wrong__promisc=None, solve__on="true\n")
    write(root, "was-broken-already", wrong__promisc=None, prepare=f"{BRIDGE} off\n")
    write(root, "cost-is-never-paid", wrong__promisc=None, spec=COST)
    for name, spec in (("answer-is-belied", ASKED), ("prediction-is-belied", f"  mend: false\n{ASKED}")):
        asks = write(root, name, wrong__promisc=None, solve__on=None, spec=spec, **{"break": None}) / "exercise.yaml"
        asks.write_text(asks.read_text().replace("  red: [hairpin]\n", ""))
    write(root, "script-fails", wrong__promisc=None, solve__on="echo said\nnosuchprogram\n")


@pytest.fixture(scope="module")
def proven(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return what `exercise.verify --all --json` says of a folder of liars, and of one that tells the truth."""
    from tests import commandline  # noqa: PLC0415 - as the fixture `invoke` has it, for all tests of this module

    root = tmp_path_factory.mktemp("exercises")
    lies(root)
    truths(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("runtime")))
        patch.delenv("HAIRPIN_LAB", raising=False)
        done = commandline.run("exercise.verify", "--all", "--folder", str(root), "--json")
        left = json.loads(commandline.run("lab.list", "--json").stdout)
    assert done.returncode == 1, done.stderr
    return {"left": left, **{one["name"]: one for one in json.loads(done.stdout)["exercises"]}}


def wrong(proven: dict[str, Any], name: str) -> dict[str, list[str]]:
    """Return what is wrong with an exercise, by what was tried."""
    trials = proven[name]["trials"]
    return {trial["script"] or trial["stage"]: trial["wrong"] for trial in trials if trial["wrong"]}


def test_a_true_exercise_is_proven_with_every_fix_of_it(proven: dict[str, Any]) -> None:
    one = proven["true-one"]
    assert one["holds"]
    tried = [(trial["stage"], trial["script"], trial["seed"]) for trial in one["trials"]]
    assert tried == [
        ("before", "", 1), ("broken", "", 1), ("wrong", "wrong/promisc.sh", 1),
        ("solve", "solve/on.sh", 1), ("solve", "solve/on.sh", 2),
    ]  # fmt: skip
    assert all(trial["took_s"] > 0 for trial in one["trials"])


def test_without_kube_proxy_nothing_writes_its_rules_but_a_fix(proven: dict[str, Any]) -> None:
    assert wrong(proven, "without-kube-proxy") == {}
    assert proven["without-kube-proxy"]["holds"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("kube-proxy-mends-it", {"broken": ["announced as red, and not red after the break: hairpin"]}),
        ("solution-lasts-once", {"solve/on.sh": ["green at first, and then red: hairpin"]}),
        ("announces-more", {"broken": ["announced as red, and not red after the break: same-node"]}),
        ("wrong-heals", {"wrong/promisc.sh": ["this fix is called wrong, and all is green with it"]}),
        ("solution-does-not", {"solve/on.sh": ["red: hairpin"]}),
        ("was-broken-already", {"before": ["red: hairpin"]}),
        ("cost-is-never-paid", {}),
    ],
)
def test_what_is_not_as_the_exercise_says_is_found(
    proven: dict[str, Any], name: str, said: dict[str, list[str]]
) -> None:
    assert not proven[name]["holds"]
    assert wrong(proven, name) == said


@pytest.mark.parametrize("name", ["answer-is-belied", "prediction-is-belied"])
def test_an_answer_that_the_lab_belies_is_told_with_what_was_observed(proven: dict[str, Any], name: str) -> None:
    trials = [one for one in proven[name]["trials"] if one["stage"] == "broken"]
    assert [one["seed"] for one in trials] == [1, 2]
    ((said,), _) = (one["wrong"] for one in trials)
    assert said.startswith("the proof of the answer to 'lie' does not hold: error: expected timeout, observed answered")


def test_what_is_red_and_not_announced_is_shown_with_what_was_observed(proven: dict[str, Any]) -> None:
    (trial,) = [one for one in proven["announces-less"]["trials"] if one["stage"] == "broken"]
    assert trial["wrong"] == ["red after the break, and not announced: same-node, pod-to-pod and large"]
    assert [cell["name"] for cell in trial["cells"]] == ["same-node", "pod-to-pod", "large"]
    assert trial["cells"][0]["expectations"][0]["findings"][0]["observed"] == "web-1 0 and timeout 1"


def test_a_cost_that_no_fix_has_is_told_with_the_file(proven: dict[str, Any]) -> None:
    (mistake,) = proven["cost-is-never-paid"]["mistakes"]
    assert mistake.endswith(
        "exercise.yaml: no fix in solve/ has the cost 'works, but': add one that has it, or drop it"
    )


def test_a_script_that_fails_is_the_author_s_mistake_with_file_and_output(proven: dict[str, Any]) -> None:
    ((said,),) = wrong(proven, "script-fails").values()
    first, *printed = said.splitlines()
    assert first.endswith("script-fails/solve/on.sh: exit 127, with seed 2")
    assert printed[0] == "    said"
    assert "solve/on.sh: 2: nosuchprogram: not found" in printed[1]


def test_no_lab_of_a_proof_stays(proven: dict[str, Any]) -> None:
    assert proven["left"] == []


def test_an_exercise_of_ours_is_proven_by_its_name(invoke: Invoke) -> None:
    told = json.loads(ok(invoke("exercise.verify", "ip-forward-off", "--json")))
    ((one,), took_s) = told["exercises"], told["took_s"]
    assert one["holds"]
    assert max(trial["took_s"] for trial in one["trials"]) < one["took_s"] < took_s  # of labs that stood side by side


def test_what_cannot_be_proven_is_refused(invoke: Invoke, tmp_path: Path) -> None:
    assert invoke("exercise.verify", "ip-forward-of").stderr.startswith("error: there is no exercise 'ip-forward-of';")
    for words in ([], ["--json"], ["ip-forward-off", "--all"]):
        done = invoke("exercise.verify", *words)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == "error: expected an exercise's name, or --all\n  hint: invoke exercise.verify --all\n"
    write(tmp_path, ticket=None)
    done = invoke("exercise.verify", "small", "--folder", str(tmp_path))
    assert done.returncode == 2
    assert "01-chapter/small/ticket.md: there is no such file" in done.stderr
