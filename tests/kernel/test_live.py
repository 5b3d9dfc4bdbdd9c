"""A lab's objects change while it stands, in every mode: what is asked through it, and what must not break."""

from __future__ import annotations

import json
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from lab import edits
from lab.errors import HostError
from lab.model.cluster import Cluster
from lab.standing import installed, live, session, state
from tests.kernel.living import NODE_3, Lab, each_mode, no_progress, objects, scaled, service, who
from tests.kernel.printed import ok, refused

from .conftest import ROOT, invocation


@each_mode
def test_a_service_that_is_applied_answers_and_one_that_is_deleted_does_not(lab: Lab, options: tuple[str, ...]) -> None:
    invoke = lab("clusterip", *options)
    done = invoke("lab.apply", "-", stdin=service("api", port=8000))
    assert ok(done).strip() == "Service api created: 10.96.0.12, 2 endpoints"
    assert who(invoke, "svc/api") == {"web-1", "web-2"}
    assert ok(invoke("lab.exec", "client-a", "curl -s http://api:8000/hostname")).startswith("web-")
    assert ok(invoke("lab.delete", "svc", "api")).strip() == "Service api deleted"
    assert who(invoke, "http://10.96.0.12:8000/", 2) == {""}
    assert who(invoke) == {"web-1", "web-2"}


@each_mode
def test_scaling_changes_who_answers(lab: Lab, options: tuple[str, ...]) -> None:
    invoke = lab("clusterip", *options)
    text = ok(invoke("lab.scale", "web", "4"))
    assert "pod web-3 created on node-2 10.244.2.3\n" in text
    assert "Service web has 4 endpoints, 2 before\n" in text
    assert who(invoke) == {"web-1", "web-2", "web-3", "web-4"}
    assert "pod web-2 deleted\n" in ok(invoke("lab.scale", "web", "1"))
    assert who(invoke) == {"web-1"}
    assert [pod["name"] for pod in objects(invoke)["pods"]] == ["web-1", "client-a"]
    ok(invoke("lab.scale", "web", "0"))
    assert invoke("lab.exec", "client-a", "curl -s -m 3 web").returncode == 7  # refused
    ok(invoke("lab.scale", "web", "2"))
    assert who(invoke) == {"web-1", "web-2"}


@each_mode
def test_a_pod_that_is_not_ready_is_not_asked_and_a_terminating_one_only_for_want_of_others(
    lab: Lab, options: tuple[str, ...]
) -> None:
    invoke = lab("clusterip", *options)
    done = ok(invoke("lab.condition", "web-1", "unready"))
    assert done.splitlines()[:2] == ["pod web-1 is not ready", "Service web has 1 ready of 2 endpoints, 2 before"]
    assert who(invoke) == {"web-2"}
    ok(invoke("lab.condition", "web-1", "ready"))
    assert who(invoke) == {"web-1", "web-2"}
    assert "pod web-1 is terminating, still serving" in ok(invoke("lab.condition", "web-1", "terminating"))
    assert who(invoke) == {"web-2"}
    ok(invoke("lab.condition", "web-2", "unready"))
    assert who(invoke) == {"web-1"}  # a terminating endpoint that serves, since none is ready
    ok(invoke("lab.condition", "web-1", "unready"))
    assert invoke("lab.exec", "client-a", "curl -s -m 3 web").returncode == 7


@each_mode
def test_a_node_comes_and_goes(lab: Lab, options: tuple[str, ...]) -> None:
    invoke = lab("clusterip", *options)
    assert ok(invoke("lab.apply", "-", stdin=NODE_3)).strip() == "node node-3 created: 192.168.0.12"
    assert "pod web-3 created on node-3 10.244.3.2" in ok(invoke("lab.scale", "web", "3"))
    assert who(invoke) == {"web-1", "web-2", "web-3"}
    assert who(invoke, source="node-3") == {"web-1", "web-2", "web-3"}
    assert "pod web-4 created on node-2 10.244.2.3" in ok(invoke("lab.delete", "node", "node-3"))
    assert who(invoke) == {"web-1", "web-2", "web-4"}
    assert "node-3" not in ok(invoke("lab.exec", "router", "ls /run/netns && ip route"))
    assert "10.244.3.0" not in ok(invoke("lab.exec", "router", "ip route"))


def test_a_pod_that_moves_is_another_one_of_its_name(lab: Lab) -> None:
    invoke = lab("clusterip")
    text = "apiVersion: v1\nkind: Pod\nmetadata: {name: client-a}\nspec: {nodeName: node-2}\n"
    assert ok(invoke("lab.apply", "-", stdin=text)) == "pod client-a replaced by another one on node-2 10.244.2.3\n"
    assert who(invoke) == {"web-1", "web-2"}


def test_a_deleted_pod_of_a_deployment_is_made_up_for(lab: Lab) -> None:
    invoke = lab("clusterip")
    assert ok(invoke("lab.delete", "po", "web-1")).splitlines()[:2] == [
        "pod web-1 deleted",
        "pod web-3 created on node-1 10.244.1.4",
    ]
    assert who(invoke) == {"web-2", "web-3"}


def test_the_names_of_what_is_new_resolve_in_a_shell_that_was_open_before(lab: Lab) -> None:
    invoke = lab("clusterip")
    words = invocation("lab.exec", "client-a", "read line && getent hosts api")
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as shell:
        ok(invoke("lab.exec", "client-a", "true"))
        ok(invoke("lab.apply", "-", stdin=service("api")))
        assert shell.communicate("go\n")[0].split()[:2] == ["10.96.0.12", "api"]


def test_what_cannot_be_is_refused_with_its_place_and_changes_nothing(lab: Lab, tmp_path: Path) -> None:
    invoke = lab("clusterip")
    before = objects(invoke)["services"], objects(invoke)["pods"][0]["addresses"]
    file = tmp_path / "bad.yaml"
    file.write_text(service("api") + service("bad", target="htp"))
    message = refused(invoke("lab.apply", str(file)))
    assert f"{file}:9:61: spec.ports[0].targetPort: no selected pod has a TCP port named 'htp'" in message
    assert "did you mean web?" in refused(invoke("lab.scale", "wep", "3"))
    assert "expected a whole number" in refused(invoke("lab.scale", "web", "x"))
    assert "did you mean service?" in refused(invoke("lab.delete", "servise", "web"))
    assert "did you mean web?" in refused(invoke("lab.delete", "svc", "wbe"))
    assert "expected ready, unready or terminating" in refused(invoke("lab.condition", "web-1", "dead"))
    assert "there is no such file" in refused(invoke("lab.apply", "nowhere.yaml"))
    assert (objects(invoke)["services"], objects(invoke)["pods"][0]["addresses"]) == before


def test_a_dry_run_prints_what_would_change_and_changes_nothing(lab: Lab) -> None:
    invoke = lab("clusterip")
    done = invoke("lab.scale", "web", "3", "--dry-run")
    assert "ip -n node-2 link add veth-web-3" in done.stdout
    assert "pod web-3 created on node-2" in done.stderr
    assert "ip netns delete web-2" in invoke("lab.scale", "web", "1", "--dry-run").stdout
    assert len(objects(invoke)["pods"]) == 3


def test_what_is_so_already_is_not_done_again(lab: Lab) -> None:
    invoke = lab("clusterip")
    assert ok(invoke("lab.apply", str(ROOT / "topologies" / "clusterip"))) == (
        "nothing to change: all of it is so already\n"
    )
    assert json.loads(ok(invoke("lab.scale", "web", "2", "--json")))["changes"] == []


def test_two_commands_at_once_both_come_to_pass(lab: Lab) -> None:
    invoke = lab("clusterip")
    words = [("lab.scale", "web", "4"), ("lab.condition", "web-1", "unready"), ("lab.delete", "svc", "echo")]
    several = [subprocess.Popen(invocation(*each), stdout=subprocess.DEVNULL) for each in words]
    assert [one.wait(30) for one in several] == [0, 0, 0]
    assert [row["name"] for row in objects(invoke)["services"]] == ["web"]
    assert who(invoke) == {"web-2", "web-3", "web-4"}


def test_drift_waits_for_a_change_that_is_under_way(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab("clusterip")
    with state.locked("clusterip"), monkeypatch.context() as patch:
        patch.setattr(state, "PATIENCE_S", 0.0)
        with pytest.raises(HostError, match="another command is changing or checking it"):
            installed.drift(session.attach())
    assert not any(one.differences for one in installed.drift(session.attach()))


def test_a_lab_is_changed_from_inside_of_it_too(lab: Lab) -> None:
    invoke = lab("clusterip")
    line = " ".join(invocation("lab.scale", "web", "3"))
    assert "pod web-3 created" in ok(invoke("lab.exec", "node-1", line))
    assert who(invoke) == {"web-1", "web-2", "web-3"}
    ok(invoke("lab.scale", "web", "2"))


def test_an_expectation_whose_pod_is_gone_fails_and_says_so(lab: Lab) -> None:
    invoke = lab("clusterip")
    ok(invoke("lab.scale", "web", "1"))
    done = invoke("lab.check", "--json")
    findings = [one for row in json.loads(done.stdout)["expectations"] for one in row["findings"] if not one["holds"]]
    assert done.returncode == 1
    assert any(one["what"] == "names" and "there is no pod 'web-2'" in one["observed"] for one in findings)


ECHO = """
import socket
with socket.create_server(("", 9000)) as listener:
    print("listening", flush=True)
    end, _ = listener.accept()
    while data := end.recv(65536):
        end.sendall(data)
"""
STREAM = """
import hashlib, json, select, socket, sys
end = socket.create_connection((sys.argv[1], 9000), timeout=10)
end.setblocking(False)
print("connected", flush=True)
block = bytes(range(256)) * 64
sent = received = waiting = 0
out, back = hashlib.sha256(), hashlib.sha256()
going = True
while going or received < sent:
    going = going and not select.select([sys.stdin], [], [], 0.001)[0]  # a pace that leaves something to others
    room = [end] if going and sent - received < 1 << 18 else []
    readable, writable, _ = select.select([end], room, [], 20)
    if not readable and not writable:
        sys.exit("nothing moves any more")
    if end in readable:
        data = end.recv(65536)
        if not data:
            sys.exit("the connection ended")
        back.update(data)
        received += len(data)
    if writable:
        start = sent % len(block)
        number = end.send(block[start:])
        out.update(block[start:start + number])
        sent += number
end.shutdown(socket.SHUT_WR)
print(json.dumps({"sent": sent, "received": received, "same": out.digest() == back.digest()}))
"""


@contextmanager
def running(place: str, program: str, *words: str) -> Iterator[subprocess.Popen[str]]:
    """Give a Python program that runs in `place`, once it has written its first line."""
    line = " ".join([sys.executable, "-c", f"'{program}'", *words])
    with subprocess.Popen(
        invocation("lab.exec", place, line), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            assert select.select([process.stdout], [], [], 20)[0], "it did not begin"
            assert process.stdout.readline()
            yield process
        finally:
            process.terminate()


@each_mode
def test_a_udp_flow_does_not_outlive_its_endpoint(lab: Lab, options: tuple[str, ...]) -> None:
    invoke = lab("clusterip", *options)
    words = ("lab.curl", "client-a", "svc/echo", "--udp", "--local-port", "40000", "--timeout", "2", "--json")
    first = json.loads(ok(invoke(*words)))["replies"][0]["pod"]
    assert json.loads(ok(invoke(*words)))["replies"][0]["pod"] == first  # conntrack remembers
    ok(invoke("lab.condition", first, "unready"))
    assert json.loads(ok(invoke(*words)))["replies"][0]["pod"] == {"web-1": "web-2", "web-2": "web-1"}[first]


@pytest.mark.once
@each_mode
def test_a_connection_to_an_endpoint_that_stays_loses_no_byte_through_100_changes(
    lab: Lab, options: tuple[str, ...]
) -> None:
    invoke = lab("clusterip", *options)
    ok(invoke("lab.scale", "web", "1"))
    ok(invoke("lab.delete", "svc", "echo"))
    ok(invoke("lab.apply", "-", stdin=service("raw", port=9000, target="9000")))
    standing = session.attach()
    with running("web-1", ECHO), running("client-a", STREAM, "raw") as stream:
        for number in range(50):
            live.change(standing, scaled(2 + number % 3), no_progress)
            live.change(standing, partial(one_more, number=number), no_progress)
        done, _ = stream.communicate("", timeout=30)
        assert stream.returncode == 0
    told = json.loads(done)
    assert told["same"]
    assert told["sent"] == told["received"] > 1_000_000


def one_more(cluster: Cluster, number: int) -> Cluster:
    """Return `cluster` with another Service, with one less, or with another condition of a pod."""
    if number % 5 == 4:
        return edits.delete(cluster, "Service", f"more-{number - 1}")
    if number % 5 == 3:
        return edits.apply(cluster, service(f"more-{number}"), "more.yaml")
    word = ("unready", "terminating", "ready")[number % 3]
    return edits.condition(cluster, "web-2", word, now="2026-01-01T00:00:00Z")
