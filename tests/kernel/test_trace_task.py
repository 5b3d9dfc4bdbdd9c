"""The task lab.trace: what it prints, writes and refuses. What is wrong input is told as its golden has it.

`python -m tests.kernel.test_trace_task` writes the goldens.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pytest

from lab.model.trace import Evidence
from lab.packets import trace
from lab.report import journey_document
from lab.standing import observe, session, state
from tests import commandline
from tests.kernel.printed import data

from .conftest import Invoke, invocation, lab_of_module

GOLDEN = Path(__file__).parents[1] / "golden" / "trace"
BAD: dict[str, tuple[str, ...]] = {
    "unknown-source": ("client-b", "svc/web"),
    "unknown-service": ("client-a", "svc/wep"),
    "unknown-target": ("client-a", "web-11"),
    "source-that-is-a-service": ("web", "svc/web"),
    "source-that-is-an-option": ("-x", "svc/web"),
    "empty-target": ("client-a", ""),
    "name-of-several-things": ("client-a", "both:80"),
    "unknown-port": ("client-a", "svc/web:htp"),
    "several-ports": ("client-a", "svc/both"),
    "no-port": ("client-a", "pod/client-a"),
    "no-udp-port": ("client-a", "svc/web", "--udp"),
    "two-ports": ("client-a", "svc/web:80", "--port", "81"),
    "port-too-high": ("client-a", "svc/web:65536"),
    "port-zero": ("client-a", "svc/web", "--port", "0"),
    "local-port-zero": ("client-a", "svc/web", "--local-port", "0"),
    "size": ("client-a", "svc/web", "--size", "-1"),
    "no-file": ("client-a", "svc/web", "--svg", ""),
    "port-no-number": ("client-a", "svc/web", "--port", "http"),
    "address-without-port": ("client-a", "10.96.0.10"),
    "family-that-it-lacks": ("client-a", "svc/web", "--family", "ipv6"),
    "no-family": ("client-a", "svc/web", "--family", "ipv5"),
    "numbers": ("client-a", "svc/web", "--timeout", "0", "--local-port", "70000"),
    "unknown-lab": ("client-a", "svc/web", "--lab", "nowhere"),
    "files": ("client-a", "svc/web", "--svg", "/", "--html", "/nowhere/page.html"),
    "one-file-twice": ("client-a", "svc/web", "--svg", "way.svg", "--html", "way.svg"),
    "standard-output-twice": ("client-a", "svc/web", "--json", "--svg", "-"),
}
MORE = """
---
apiVersion: v1
kind: Pod
metadata: {name: both}
spec: {nodeName: node-1}
---
apiVersion: v1
kind: Service
metadata: {name: both}
spec: {selector: {app: web}, ports: [{name: http, port: 80}, {name: more, port: 81}]}
---
apiVersion: v1
kind: Service
metadata: {name: solo}
spec: {selector: {only: me}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Pod
metadata: {name: solo, labels: {only: me}}
spec: {nodeName: node-2, containers: [{name: c, ports: [{containerPort: 8080}]}]}
"""
TOPOLOGIES = Path(__file__).parents[2] / "topologies"


def topology(folder: Path) -> Path:
    """Return clusterip with a name that two things have, a Service of two ports, and one with a single endpoint."""
    file = folder / "lab.yaml"
    file.write_text((TOPOLOGIES / "clusterip/lab.yaml").read_text(encoding="utf-8") + MORE, encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Invoke]:
    """Give tasks on a lab that all tests here look at."""
    with lab_of_module(tmp_path_factory, str(topology(tmp_path_factory.mktemp("topology")))) as run:
        yield run


def traced(done: subprocess.CompletedProcess[str], status: int = 0) -> str:
    """Return the story that a trace printed."""
    assert (done.returncode, done.stderr) == (status, "")
    return done.stdout


# --- what it shows ---------------------------------------------------------------------------------------------------


def test_a_request_is_told_from_the_asker_to_the_endpoint_and_back(standing: Invoke) -> None:
    story = traced(standing("lab.trace", "client-a", "svc/solo"))
    machines = re.findall(r"^[┌├]─ (\S+)$", story, re.MULTILINE)
    assert machines == ["client-a", "node-1", "node-2", "solo", "solo", "node-2", "node-1", "client-a"]
    assert max(map(len, story.splitlines())) <= 100
    assert " ● chosen  " in story
    assert story.endswith(
        "client-a asked solo; node-1 chose solo on node-2 (the only one), rewrote the destination, did not\n"
        "masquerade; the reply was translated back by the same entry.\n"
    )


def test_without_reply_only_the_way_there_is_told_and_all_tells_more(standing: Invoke) -> None:
    short = traced(standing("lab.trace", "client-a", "svc/solo", "--no-reply"))
    long = traced(standing("lab.trace", "client-a", "svc/solo", "--all"))
    assert "\nREPLY " not in short
    assert "\nREPLY " in long
    assert " passed)" in short
    assert " passed)" not in long
    assert re.search(r"rule 1, handle \d+: -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES", long)


def test_without_reply_pictures_and_data_have_only_the_way_there_too(standing: Invoke, tmp_path: Path) -> None:
    svg, page = tmp_path / "way.svg", tmp_path / "way.html"
    words = ("lab.trace", "client-a", "svc/solo", "--no-reply", "--json", "--svg", str(svg), "--html", str(page))
    done = standing(*words)
    assert done.returncode == 0
    journey = json.loads(done.stdout)
    assert [leg["role"] for leg in journey["legs"]] == ["request"]
    assert journey["sentence"].endswith("; the reply was translated back by the same entry.")
    assert "reply: tcp" not in svg.read_text(encoding="utf-8")
    assert "reply: tcp" not in page.read_text(encoding="utf-8")


def test_a_request_that_nobody_answers_is_a_story_too_and_exit_status_1(standing: Invoke) -> None:
    done = standing("lab.trace", "client-a", "10.96.0.99:80", "--timeout", "0.5")
    story = traced(done, 1)
    assert "client-a got no answer: timeout after " in story
    assert "✗" in story.partition("└─")[2]
    assert re.search(r"client-a gave up\s+after", story)


def test_a_port_that_a_service_has_not_is_asked_and_said_to_be_missing(standing: Invoke) -> None:
    done = standing("lab.trace", "client-a", "svc/solo:81", "--timeout", "0.5")
    assert (done.returncode, done.stderr) == (1, "note: svc/solo has no port 81/tcp, but 80/tcp\n")
    assert "no rule translated it" in done.stdout


def test_a_local_port_and_a_udp_service_are_asked(standing: Invoke) -> None:
    story = traced(standing("lab.trace", "client-a", "svc/echo", "--udp", "--local-port", "20099"))
    assert "client-a 10.244.1.3:20099" in story
    assert "client-a asked echo by UDP; node-1 chose " in story


def test_a_request_of_a_size_fills_its_packets_and_one_that_is_too_long_for_a_link_is_told(standing: Invoke) -> None:
    assert standing("lab.exec", "node-1", "ip link set eth0 mtu 500").returncode == 0
    words = ("lab.trace", "client-a", "svc/solo", "--size", "4000", "--timeout", "1")
    try:
        told = " ".join(traced(standing(*words)).split())
        block = "-p icmp --icmp-type fragmentation-needed -j DROP"
        assert standing("lab.exec", "node-1", f"iptables -I OUTPUT {block}").returncode == 0
        standing("lab.exec", "client-a", "ip route flush cache")
        lost = " ".join(traced(standing(*words), 1).split())
        assert standing("lab.exec", "node-1", f"iptables -D OUTPUT {block}").returncode == 0
        assert "client-a got 200" in " ".join(traced(standing(*words[:3])).split())  # a small one passes
    finally:
        standing("lab.exec", "node-1", "ip link set eth0 mtu 1500")
    assert "REFUSAL icmp fragmentation needed ┌─ node-1" in told
    assert "client-a got 200, after" in told
    assert re.search(r"; a later packet \(tcp \[P?\.\] \d+ bytes\) was lost on node-1: it is larger than", lost)


def test_json_is_of_the_published_shape_and_the_kernels_own(standing: Invoke) -> None:
    found = data(standing("lab.trace", "client-a", "svc/solo", "--json"))
    read = msgspec.convert(found, journey_document.Journey)
    assert (read.asker, read.goal, read.endpoint, read.answered) == ("client-a", "svc/solo", "solo", True)
    assert [leg.role for leg in read.legs] == ["request", "reply"]
    steps = read.legs[0].steps
    taps = [(step.node, step.interface, step.direction) for step in steps if step.kind == "tap"]
    assert (taps[0], taps[-1]) == (("client-a", "eth0", "out"), ("solo", "eth0", "in"))
    times = [step.time_ns for step in steps if step.kind == "tap"]
    assert times == sorted(time for time in times if time)
    choice = next(step for step in steps if "choose" in step.moments)
    assert (choice.endpoint, choice.share, choice.service) == ("solo", "1", "default/solo:http")
    assert choice.rule is not None
    assert choice.handle
    assert {flow.node for flow in read.flows} == {"node-1", "node-2"}
    assert read.comparison is None


def test_explain_puts_what_was_predicted_beside_it(standing: Invoke) -> None:
    story = traced(standing("lab.trace", "client-a", "svc/solo", "--explain"))
    assert "PREDICTED" in story
    assert "predicted and observed agree: " in story.splitlines()[-1]
    found = data(standing("lab.trace", "client-a", "svc/solo", "--explain", "--json"))
    read = msgspec.convert(found, journey_document.Journey)
    assert read.comparison is not None
    assert read.comparison.agrees
    assert [visit.node for visit in read.comparison.visits] == ["node-1", "node-2"]


def test_explain_that_finds_a_difference_says_where_and_ends_with_exit_status_1(
    standing: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = trace.of

    def without_a_rule(*arguments: Any, **more: Any) -> Evidence:
        evidence = whole(*arguments, **more)
        gone = next(one for one in evidence.events if one.kind == "rule" and one.chain.startswith("KUBE-SVC-"))
        return replace(evidence, events=tuple(one for one in evidence.events if one is not gone))

    monkeypatch.setattr(trace, "of", without_a_rule)
    story = traced(standing("lab.trace", "client-a", "svc/solo", "--explain"), 1)
    assert "the kernel did not show it" in story
    done = standing("lab.trace", "client-a", "svc/solo", "--explain", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["comparison"]["agrees"] is False


def test_nobody_changes_the_lab_while_it_is_traced(standing: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    of = trace.of
    busy = []

    def held(lab: session.Standing, *arguments: Any, **more: Any) -> Evidence:
        monkeypatch.setattr(state, "PATIENCE_S", 0.0)
        done = standing("lab.scale", "web", "3")
        busy.append(done.stderr)
        return of(lab, *arguments, **more)

    monkeypatch.setattr(trace, "of", held)
    traced(standing("lab.trace", "client-a", "svc/solo"))
    assert "another command" in busy[0]


# --- what it writes --------------------------------------------------------------------------------------------------


def test_pictures_go_into_new_files_and_the_text_is_printed_all_the_same(standing: Invoke, tmp_path: Path) -> None:
    svg, html = tmp_path / "way.svg", tmp_path / "way.html"
    done = standing("lab.trace", "client-a", "svc/solo", "--svg", str(svg), "--html", str(html))
    assert (done.returncode, done.stderr) == (0, f"wrote {svg}\nwrote {html}\n")
    assert "client-a asked solo; " in done.stdout
    assert svg.read_text(encoding="utf-8").startswith("<svg")
    assert html.read_text(encoding="utf-8").lower().startswith("<!doctype html>")
    assert sorted(os.listdir(tmp_path)) == ["way.html", "way.svg"]


def test_a_picture_on_standard_output_stands_there_alone(standing: Invoke) -> None:
    shown = traced(standing("lab.trace", "client-a", "svc/solo", "--svg", "-"))
    assert shown.startswith("<svg")
    assert shown.endswith("</svg>\n")


def test_a_picture_is_drawn_of_a_request_that_was_not_answered(standing: Invoke, tmp_path: Path) -> None:
    svg = tmp_path / "way.svg"
    done = standing("lab.trace", "client-a", "10.96.0.99:80", "--timeout", "0.5", "--svg", str(svg))
    assert done.returncode == 1
    assert svg.read_text(encoding="utf-8").startswith("<svg")


def test_a_file_that_is_there_is_kept_and_nothing_is_sent(standing: Invoke, tmp_path: Path) -> None:
    svg = tmp_path / "way.svg"
    svg.write_text("mine")
    done = standing("lab.trace", "client-a", "svc/solo", "--local-port", "20098", "--svg", str(svg))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: --svg '{svg}': File exists; expected a new file, or -\n"
    assert svg.read_text() == "mine"
    assert "20098" not in standing("lab.conntrack").stdout


def asked(port: int) -> bool:
    """Inside: return whether a request to a port has come to a node."""
    return any(flow.original.dport == port for flow in observe.flows_on(["node-1"]))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_whole_group_interrupts_a_trace(standing: Invoke, number: int) -> None:
    del standing
    port = 8000 + number
    argv = invocation("lab.trace", "client-a", f"10.96.0.99:{port}", "--timeout", "60")
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, process_group=0) as process:
        deadline = time.monotonic() + 20
        while not session.attach().call(partial(asked, port)):
            assert time.monotonic() < deadline
        os.killpg(process.pid, number)
        out, said = process.communicate(timeout=20)
    assert (process.returncode, out, said.decode()) == (128 + number, b"", "interrupted\n")


# --- what it refuses -------------------------------------------------------------------------------------------------


def told(run: Callable[..., subprocess.CompletedProcess[str]], name: str) -> str:
    done = run("lab.trace", *BAD[name])
    assert (done.returncode, done.stdout) == (2, ""), done
    return done.stderr


@pytest.mark.parametrize("name", BAD)
def test_wrong_input_is_refused_by_a_message_that_says_what_was_expected(standing: Invoke, name: str) -> None:
    assert told(standing, name) == (GOLDEN / f"{name}.txt").read_text(encoding="utf-8")


def test_every_message_has_its_case() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == set(BAD)


if __name__ == "__main__":
    with TemporaryDirectory() as place:
        os.environ["XDG_RUNTIME_DIR"] = place
        os.environ.pop("HAIRPIN_LAB", None)
        assert commandline.run("lab.up", str(topology(Path(place)))).returncode == 0
        try:
            for case in BAD:
                (GOLDEN / f"{case}.txt").write_text(told(commandline.run, case), encoding="utf-8")
        finally:
            commandline.run("lab.down", "--all")
