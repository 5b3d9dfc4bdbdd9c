"""`proxy.explain` reads from top to bottom as a story, and ends with one sentence that says it all."""

from __future__ import annotations

import io
import json
import re
from contextlib import redirect_stderr, redirect_stdout
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import pytest
from invoke import Program

from lab.cli import namespace

ROOT = Path(__file__).parents[1]
CASES = ROOT / "tests/golden/kube-proxy"
OBJECTS = f"{CASES}/clusterip/objects.yaml"


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


def ran(*words: str, stdin: str = "") -> Done:
    """Run the command in this process, since a start of Python takes the most time; invoke uses its tasks up."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    text = io.TextIOWrapper(io.BytesIO(stdin.encode()))
    with redirect_stdout(out), redirect_stderr(err), patch("sys.stdin", text):
        try:
            Program(namespace=deepcopy(namespace)).run(["invoke", "proxy.explain", *words])
        except SystemExit as end:
            code = int(end.code or 0)
    return Done(code, out.getvalue(), err.getvalue())


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
    assert {(one["destination"], one["share"], one["masquerade"]) for one in data["ways"]} == {
        ("10.244.1.2:8080", "1/2", False),
        ("10.244.2.2:8080", "1/2", False),
    }
    step = next(one for one in data["ways"][0]["steps"] if one["chain"].startswith("KUBE-SEP"))
    assert (step["before"]["destination"], step["after"]["destination"]) == ("10.96.0.10:80", "10.244.1.2:8080")


def test_a_node_other_than_the_configurations_can_be_asked() -> None:
    packet = ("--from", "198.51.100.9", "--to", "192.168.0.11:30080", "--node", "node-2")
    assert "node-2 chooses" in flat(of_case("nodeport", *packet))


UNKNOWN = """*filter
-A FORWARD -m set --match-set bad src -j DROP
-A FORWARD -j TPROXY --on-port 1
COMMIT
"""


def test_what_is_unknown_is_named_with_file_and_line_and_both_answers_are_told(tmp_path: Path) -> None:
    (tmp_path / "saved").write_text(UNKNOWN)
    packet = ("--rules", str(tmp_path / "saved"), "--from", "10.0.0.1", "--to", "10.0.0.2:80")
    text = ran(*packet).stdout
    assert "way 1: dropped (1), if `-m set --match-set bad src` holds" in text
    assert "way 2: not known (1), if `-m set --match-set bad src` fails" in text
    assert "stops here: unknown: `-j TPROXY --on-port 1`" in text
    assert f"in FORWARD, {tmp_path}/saved:2" in flat(text)
    data = json.loads(ran(*packet, "--json").stdout)
    assert [(one["if"], one["fate"], one["share"]) for one in data["ways"]] == [
        (["`-m set --match-set bad src` holds"], "drop", "1"),
        (["`-m set --match-set bad src` fails"], "unknown", "1"),
    ]


MANY = """*filter
-A FORWARD -d 10.0.0.2/32 -m mark --mark 0 -j MARK --set-xmark 8/8
-A FORWARD -m set --match-set s1 src -j MARK --set-xmark 1/0
-A FORWARD -m set --match-set s2 src -j MARK --set-xmark 2/0
-A FORWARD -m set --match-set s3 src -j MARK --set-xmark 4/0
-A FORWARD -m mark --mark 8 -j DROP
-A FORWARD -m mark --mark 9 -j REJECT
COMMIT
"""


def test_a_way_that_begins_as_another_one_is_told_from_where_they_part(tmp_path: Path) -> None:
    (tmp_path / "saved").write_text(MANY)
    text = ran("--rules", str(tmp_path / "saved"), "--from", "10.0.0.1", "--to", "10.0.0.2:80").stdout
    assert text.count("the mark becomes 0x8") == 1
    assert "(as way 1, up to here)" in text
    assert "it depends on what the rules do not say (4 cases, above): " in flat(text)
    assert flat(text).count("; or the node") == 2  # drops it, refuses it, lets it pass


def test_the_rules_on_the_way_to_a_choice_are_told_before_it() -> None:
    text = of_case("clusterip", "--from", "10.244.1.3", "--to", "10.96.0.10:80", "--mode", "iptables")
    before = flat(text[: text.index("way 1")])
    assert "-j KUBE-SERVICES matches: jump KUBE-SERVICES" in before
    assert "matches: the destination is 10.96.0.10; the protocol is tcp; the destination port is 80: jump" in before


def test_names_stand_for_what_the_objects_hold() -> None:
    for source, to in (("node/node-1", "svc/web"), ("node-1", "svc/default/web:http"), ("node-1", "web.default:80")):
        text = flat(of_case("clusterip", "--from", source, "--to", to))
        assert "192.168.0.10 asked 10.96.0.10:80 (default/web:http): node-1 chooses" in text


def test_a_pod_behind_a_service_has_a_name_and_the_protocol_is_the_ports(tmp_path: Path) -> None:
    text = (CASES / "clusterip/objects.yaml").read_text().replace("TCP", "UDP")
    (tmp_path / "objects.yaml").write_text(
        text.replace("- 10.244.1.2\n", "- 10.244.1.2\n  targetRef: {kind: Pod, name: web-1}\n")
    )
    done = ran("--objects", str(tmp_path / "objects.yaml"), "--from", "pod/web-1", "--to", "svc/web:http")
    assert "node-1: a new connection from a pod, 10.244.1.2 -> 10.96.0.10:80 (udp)" in done.stdout


@pytest.mark.parametrize(
    ("packet", "node"),
    [
        (("10.244.2.9", "10.96.0.10:80"), "node-2"),
        (("192.168.0.11", "10.96.0.10:80"), "node-2"),
        (("8.8.8.8", "192.168.0.11:30080"), "node-2"),
        (("8.8.8.8", "10.96.0.10:80"), "node-1"),
    ],
)
def test_without_a_name_the_node_is_the_senders_or_the_destinations(packet: tuple[str, str], node: str) -> None:
    done = ran("--objects", f"{CASES}/clusterip/objects.yaml", "--from", packet[0], "--to", packet[1])
    assert done.stdout.startswith(f"{node}: ")
    assert ("nothing says which node" in done.stdout) is (packet == ("8.8.8.8", "10.96.0.10:80"))


def test_who_sits_elsewhere_and_what_speaks_otherwise_is_said() -> None:
    text = flat(of_case("clusterip", "--from", "10.244.2.9", "--to", "10.96.0.10:80", "--protocol", "udp"))
    assert "10.244.2.9 is on node-2: its packets meet the rules of node-2 first (--node node-2)" in text
    assert "svc/web speaks tcp there, not udp (--protocol tcp)" in text


def test_objects_without_endpoint_slices_say_so(tmp_path: Path) -> None:
    documents = (CASES / "clusterip/objects.yaml").read_text().split("---")
    (tmp_path / "a.yaml").write_text("---".join(one for one in documents if "kind: EndpointSlice" not in one))
    done = ran("--objects", str(tmp_path / "a.yaml"), "--from", "10.244.1.3", "--to", "svc/web")
    assert "the objects hold no EndpointSlice of svc/web" in flat(done.stdout)


def test_the_classic_rules_are_walked_too() -> None:
    packet = ("--from", "198.51.100.9", "--to", "192.168.0.10:30080", "--release", "classic", "--mode", "iptables")
    text = flat(of_case("nodeport", *packet))
    assert "the mark set by KUBE-NODEPORTS (default/web:http) is read by KUBE-POSTROUTING" in text


def test_objects_beside_saved_rules_tell_names_and_the_nodes_addresses() -> None:
    rules = ("--rules", f"{CASES}/nodeport/iptables-save.txt")
    done = ran(*rules, "--objects", f"{CASES}/nodeport/objects.yaml", "--from", "8.8.8.8", "--to", "node/node-1:30080")
    assert "node-1 chooses 10.244.1.2:8080 (1/2) or 10.244.2.2:8080 (1/2)" in flat(done.stdout)
    assert "the node's addresses are not in the rules" not in done.stdout


def test_objects_may_come_on_standard_input() -> None:
    text = (CASES / "clusterip/objects.yaml").read_text()
    packet = ("--from", "10.244.1.3", "--to", "10.96.0.10:80", "--node", "node-1")
    assert "node-1 chooses" in flat(ran("--objects", "-", *packet, stdin=text).stdout)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "--from and --to"),
        (("--from", "10.0.0.1", "--to", "10.0.0.2:80"), "expected --objects FILE"),
        (("--from", "x", "--to", "10.0.0.2:80", "--rules", "y"), "--from 'x'"),
        (("--from", "x", "--to", "10.0.0.2:80", "--objects", OBJECTS), "there is no pod or node 'x'"),
        (("--from", "10.0.0.1", "--to", "svc/wob", "--objects", OBJECTS), "did you mean web"),
        (("--from", "10.0.0.1", "--to", "svc/web:htp", "--objects", OBJECTS), "did you mean http"),
        (("--from", "10.0.0.1", "--to", "10.0.0.2", "--objects", OBJECTS), "the port is missing"),
        (
            ("--from", "10.0.0.1", "--to", "10.0.0.2:80", "--rules", "x", "--mode", "nftables"),
            "--mode nftables: the rules of --rules",
        ),
        (("--from", "10.0.0.1", "--to", "10.0.0.2:80", "--rules", "-", "--objects", "-"), "here twice"),
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
            "--mode 'ipvs' is not supported: kube-proxy gave IPVS up",
        ),
    ],
)
def test_a_wrong_question_is_refused_in_words(words: tuple[str, ...], said: str) -> None:
    done = ran(*words)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


# --- the document ----------------------------------------------------------------------------------------------------

DOCUMENT = (ROOT / "docs/explain.md").read_text()


@pytest.mark.parametrize("block", re.findall(r"^```console\n\$ (.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL))
def test_the_documents_output_is_the_real_one(block: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    command, _, output = block.partition("\n")
    assert ran(*command.split()[2:]).stdout == output


def test_the_document_names_every_field_of_the_json() -> None:
    data = json.loads(of_case("clusterip", "--from", "10.244.1.3", "--to", "10.96.0.10:80", "--json"))
    way = data["ways"][0]
    tables = DOCUMENT.partition("## `--json`")[2]
    named = {name for row in re.findall(r"^\| (`.*?) \|", tables, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)}
    assert named == {*data, *way, *way["steps"][0]}
    assert all(f"`{name}`" in tables for name in (*data["packet"], *way["steps"][0]["before"]))
