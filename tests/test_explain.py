"""`proxy.explain` reads from top to bottom as a story, and ends with one sentence that says it all."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CASES = ROOT / "tests/golden/kube-proxy"


def ran(*words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "invoke", "--search-root", str(ROOT), "proxy.explain", *words]
    return subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=60, check=False)


def of_case(case: str, *words: str) -> str:
    folder = CASES / case
    done = ran("--objects", f"{folder}/objects.yaml", "--config", f"{folder}/proxy.yaml", *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def flat(text: str) -> str:
    return " ".join(text.split())


SENTENCE = (
    "10.244.1.3 asked 10.96.0.10:80 (default/web:http): node-1 chooses 10.244.1.2:8080 (1/2) or 10.244.2.2:8080 (1/2),"
    " the source stays."
)


@pytest.mark.parametrize("mode", ["iptables", "nftables"])
def test_a_story_ends_with_one_sentence(mode: str) -> None:
    text = of_case("clusterip", "--from", "10.244.1.3", "--to", "10.96.0.10:80", "--mode", mode)
    assert flat(text).endswith(SENTENCE)
    order = [text.index(hook) for hook in ("PREROUTING", "ROUTING\n ", "FORWARD", "POSTROUTING\n")]
    assert order == sorted(order)


@pytest.mark.parametrize("saved", ["iptables-save.txt", "nft.json", "nft.txt"])
def test_saved_rules_tell_the_same(saved: str) -> None:
    done = ran(
        "--rules", f"{CASES}/clusterip/{saved}", "--from", "10.244.1.3", "--to", "10.96.0.10:80", "--node", "node-1"
    )
    assert flat(done.stdout).endswith(SENTENCE)
    assert "the node's addresses are not in the rules" in done.stdout


def test_rules_that_do_not_match_are_folded_and_can_be_unfolded() -> None:
    packet = ("--from", "10.244.1.3", "--to", "10.96.0.10:80")
    folded, whole = of_case("clusterip", *packet), of_case("clusterip", *packet, "--all")
    rule = "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
    assert rule not in flat(folded)
    assert rule in flat(whole)
    assert "(3 rules of KUBE-FORWARD do not match)" in folded
    assert "do not match)" not in whole


def test_masquerading_says_which_rule_marked_and_which_one_read() -> None:
    text = flat(of_case("nodeport", "--from", "198.51.100.9", "--to", "192.168.0.10:30080"))
    assert "the source becomes node-1's own (the mark set by KUBE-EXT-" in text
    assert "is read by KUBE-POSTROUTING" in text


def test_a_drop_names_the_rule_that_did_it() -> None:
    text = flat(of_case("loadbalancer-source-ranges", "--from", "8.8.8.8", "--to", "203.0.113.11:80"))
    assert "node-1 drops it in KUBE-PROXY-FIREWALL (default/web:http traffic not accepted by KUBE-FW-" in text


def test_json_says_the_same() -> None:
    data = json.loads(of_case("clusterip", "--from", "10.244.1.3", "--to", "10.96.0.10:80", "--json"))
    assert data["sentence"] == SENTENCE
    assert {(one["destination"], one["share"], one["masquerade"]) for one in data["journeys"]} == {
        ("10.244.1.2:8080", "1/2", False),
        ("10.244.2.2:8080", "1/2", False),
    }
    step = next(one for one in data["journeys"][0]["steps"] if one["chain"].startswith("KUBE-SEP"))
    assert (step["before"]["destination"], step["after"]["destination"]) == ("10.96.0.10:80", "10.244.1.2:8080")


def test_a_node_other_than_the_configurations_can_be_asked() -> None:
    packet = ("--from", "198.51.100.9", "--to", "192.168.0.11:30080", "--node", "node-2")
    assert "node-2 chooses" in flat(of_case("nodeport", *packet))


def test_an_unknown_rule_is_named_with_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "saved").write_text("*filter\n-A FORWARD -m set --match-set bad src -j DROP\nCOMMIT\n")
    done = ran("--rules", str(tmp_path / "saved"), "--from", "10.0.0.1", "--to", "10.0.0.2:80")
    assert "stops here: unknown: `-m set --match-set bad src`" in done.stdout
    assert f"in FORWARD, {tmp_path}/saved:2" in flat(done.stdout)


def test_objects_may_come_on_standard_input() -> None:
    text = (CASES / "clusterip/objects.yaml").read_text()
    packet = ("--from", "10.244.1.3", "--to", "10.96.0.10:80", "--node", "node-1")
    assert "node-1 chooses" in flat(ran("--objects", "-", *packet, stdin=text).stdout)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "--from and --to"),
        (("--from", "10.0.0.1", "--to", "10.0.0.2:80"), "expected --objects FILE"),
        (("--from", "x", "--to", "10.0.0.2:80"), "--from 'x'"),
        (("--from", "10.0.0.1", "--to", "10.0.0.2:80", "--rules", "/nonexistent"), "there is no such file"),
        (("--from", "10.0.0.1", "--to", "10.0.0.2:80", "--rules", "x", "--local", "y"), "no such file"),
        (
            (
                "--from",
                "10.0.0.1",
                "--to",
                "10.0.0.2:80",
                "--objects",
                f"{CASES}/clusterip/objects.yaml",
                "--node",
                "node-7",
            ),
            "did you mean node-2",
        ),
        (
            (
                "--from",
                "10.0.0.1",
                "--to",
                "10.0.0.2:80",
                "--objects",
                f"{CASES}/clusterip/objects.yaml",
                "--mode",
                "ipvs",
            ),
            "--mode 'ipvs'",
        ),
    ],
)
def test_a_wrong_question_is_refused_in_words(words: tuple[str, ...], said: str) -> None:
    done = ran(*words)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
