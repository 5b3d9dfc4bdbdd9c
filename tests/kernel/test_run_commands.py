"""Commands of containers that run: in their pod, with their output in the log, until it goes; only when asked."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lab import catalogue
from lab.errors import KernelError
from lab.model.program import PATH
from lab.plan.runs import runs
from lab.standing import orders, programs, session, state
from lab.standing.meter import silently

from .conftest import Invoke

Lab = Callable[..., Invoke]
DEADLINE_S = 20

TOPOLOGY = """
apiVersion: hairpin/v1alpha1
kind: Lab
metadata: {name: real}
spec: {nodes: [node-1]}
---
apiVersion: v1
kind: Pod
metadata: {name: client-a}
"""
SERVER = """
import os, socketserver, subprocess, sys
class Answer(socketserver.StreamRequestHandler):
    def handle(self):
        self.rfile.readline()
        body = os.environ["WORDS"].encode()
        self.wfile.write(b"HTTP/1.0 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n%s" % (len(body), body))
socketserver.TCPServer.allow_reuse_address = True
daemon = [sys.executable, "-c", "import signal; signal.pause()", "daemon-" + sys.argv[1]]
subprocess.Popen(daemon, start_new_session=True)
server = socketserver.TCPServer(("", int(sys.argv[1])), Answer)
print("serving", sys.argv[1], "as", os.getpid(), "in", os.getcwd(), flush=True)
server.serve_forever()
"""


def pod(name: str, command: list[str], *, ports: tuple[int, ...] = (), **fields: object) -> str:
    container = {"name": "main", "command": command, "ports": [{"containerPort": one} for one in ports], **fields}
    made = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"containers": [container]},
    }
    return f"---\n{json.dumps(made)}\n"


def server(name: str, port: int = 8080) -> str:
    env = [{"name": "PORT", "value": str(port)}, {"name": "WORDS", "value": "served on $(PORT)"}]
    return pod(name, [sys.executable, "-c", SERVER], args=["$(PORT)"], ports=(port,), env=env, workingDir="/usr")


@pytest.fixture
def build(invoke: Invoke, tmp_path: Path) -> Callable[..., str]:
    """Give `build(text)`: the topology with `text` added stands; what `lab.up` wrote on standard error is returned."""

    def up(text: str, *options: str) -> str:
        file = tmp_path / "real.yaml"
        file.write_text(TOPOLOGY + text)
        done = invoke("lab.up", str(file), *options)
        assert done.returncode == 0, done.stderr
        return done.stderr

    return up


def logged(pattern: str, number: int = 1) -> list[str]:
    """Wait until so many lines of the log match, and return them, without their times."""
    log = state.root() / "real" / state.LOG
    deadline = time.monotonic() + DEADLINE_S
    found: list[str] = []
    while time.monotonic() < deadline and len(found) < number:
        lines = [line.partition(" ")[2] for line in log.read_text().splitlines()]
        found = [line for line in lines if re.search(pattern, line)]
    return found


def running(words: str) -> list[int]:
    """Return the processes of this machine whose command line has `words`, but for our own children."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if words in (process / "cmdline").read_text().replace("\0", " "):
                found.append(int(process.name))
        except OSError:
            continue
    return found


def test_a_command_answers_in_its_pod_with_its_words_in_the_log(build: Callable[..., str], invoke: Invoke) -> None:
    said = build(server("web"), "--run-commands")
    assert "note:" not in said
    assert invoke("lab.exec", "client-a", "curl -s web:8080").stdout == "served on 8080"
    assert invoke("lab.logs", "--pod", "web").stdout.split(" ", 1)[1] == "web [main] serving 8080 as 1 in /usr\n"
    status = json.loads(invoke("lab.status", "--json").stdout)
    rows = {row["name"]: (row["answering"], row["processes"]) for row in status["pods"]}
    assert rows == {"web": (True, ["main runs"]), "client-a": (None, [])}


def test_without_the_option_no_command_runs_and_ours_answers(build: Callable[..., str], invoke: Invoke) -> None:
    said = build(server("web"))
    assert "1 container has a command that is not run: Hairpin's own server answers instead; --run-commands" in said
    assert json.loads(invoke("lab.exec", "client-a", "curl -s web:8080").stdout)["pod"] == "web"
    assert not re.search("serving", invoke("lab.logs").stdout)


def test_it_has_no_environment_but_its_own(build: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "of the user")
    build(pod("job", ["env"], env=[{"name": "A", "value": "$(HOSTNAME)"}]), "--run-commands")
    assert logged("exited")
    lines = {line.removeprefix("job [main] ") for line in logged(r"\[main\] [A-Z]+=", 3)}
    assert lines == {f"PATH={PATH}", "HOSTNAME=job", "A=$(HOSTNAME)"}


def test_its_namespaces_are_its_own_and_its_user_is_ours(build: Callable[..., str]) -> None:
    look = "hostname; id -u; ip -o link | wc -l; ls -d /proc/[0-9]* | wc -l"
    build(pod("job", ["sh", "-c", look]), "--run-commands")
    assert logged("exited")
    hostname, uid, links, processes = (line.removeprefix("job [main] ") for line in logged(r"\[main\] [\w-]+$", 4))
    assert (hostname, uid, links) == ("job", str(os.geteuid()), "2")
    assert int(processes) <= 4


def test_what_ends_is_noted_with_its_status_and_not_started_again(build: Callable[..., str], invoke: Invoke) -> None:
    build(pod("one", ["sh", "-c", "echo bye; exit 3"]) + pod("two", ["sh", "-c", "kill -9 $$"]), "--run-commands")
    assert logged(r"one \[main\] exited") == ["one [main] exited with status 3; it is not started again"]
    status = json.loads(invoke("lab.status", "--json").stdout)
    rows = {row["name"]: row["processes"] for row in status["pods"]}
    assert rows["one"] == ["main exited with status 3"]
    assert len(logged(r"one \[main\] bye")) == 1


def test_a_program_that_is_not_there_is_a_note_and_ours_answers(build: Callable[..., str], invoke: Invoke) -> None:
    said = build(pod("web", ["no-such-program"], ports=(8080,)), "--run-commands")
    assert "note: pod web: 'no-such-program' is not found on this machine, so Hairpin's own server answers" in said
    assert json.loads(invoke("lab.exec", "client-a", "curl -s web:8080").stdout)["pod"] == "web"


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("#!/bin/sh\necho cannot; exit 7\n", "exited with status 7; its last words:\n  cannot"),
        ("\x7fno program", "exited with status 126; its last words:\n  [Errno 8] Exec format error"),
    ],
)
def test_one_that_ends_before_it_listens_fails_the_building_with_its_last_words(
    invoke: Invoke, tmp_path: Path, runtime: Path, script: str, message: str
) -> None:
    file, program = tmp_path / "real.yaml", tmp_path / "program"
    program.write_text(script)
    program.chmod(0o755)
    file.write_text(TOPOLOGY + pod("web", [str(program)], ports=(8080,)))
    done = invoke("lab.up", str(file), "--run-commands")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"pod web: {program}: does not listen on TCP port 8080, and {message}" in done.stderr
    assert "without --run-commands, Hairpin's own server answers instead" in done.stderr
    assert list(runtime.iterdir()) == []


def test_who_listens_for_itself_alone_does_not_pass_for_a_server(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    runtime = tmp_path / "runtime"
    runtime.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    monkeypatch.setattr(programs, "PATIENCE_S", 0.5)
    local = (
        "import socket, signal; s = socket.create_server(('127.0.0.1', 8080)); print('up', flush=True); signal.pause()"
    )
    chosen = catalogue.with_commands(
        catalogue.choose(TOPOLOGY + pod("web", [sys.executable, "-c", local], ports=(8080,)))
    )
    with pytest.raises(KernelError, match=r"TCP port 8080( \(only at 127.0.0.1\))?, after 0.5 s; its last words:"):
        session.up(chosen.cluster, name="real", source="text", progress=silently)
    assert list(runtime.iterdir()) == []


def test_a_pod_that_goes_takes_all_of_its_processes_along(build: Callable[..., str], invoke: Invoke) -> None:
    build(server("web", 20_081), "--run-commands")
    assert len(running(" 20081")) == 1
    assert len(running("daemon-20081")) == 1
    assert invoke("lab.delete", "pod", "web").returncode == 0
    assert running(" 20081") == []
    assert running("daemon-20081") == []


def test_the_lab_takes_all_of_its_processes_along(build: Callable[..., str], invoke: Invoke) -> None:
    build(server("web", 20_082), "--run-commands")
    assert len(running(" 20082")) == 1
    assert invoke("lab.down").returncode == 0
    assert running(" 20082") == []


def test_a_pod_that_comes_later_runs_its_command_too_and_a_new_command_replaces_it(
    build: Callable[..., str], invoke: Invoke, tmp_path: Path
) -> None:
    build("", "--run-commands")
    file = tmp_path / "more.yaml"
    for port in (20_083, 20_084):
        file.write_text(server("web", port))
        done = invoke("lab.apply", str(file))
        assert done.returncode == 0, done.stderr
        assert invoke("lab.exec", "client-a", f"curl -s web:{port}").stdout == f"served on {port}"
    assert running(" 20083") == []
    assert invoke("lab.apply", str(file)).returncode == 0
    assert len(running(" 20084")) == 1


def test_an_order_that_is_given_again_starts_nothing_again(build: Callable[..., str]) -> None:
    build(server("web", 20_085), "--run-commands")
    standing = session.attach()
    (run,) = runs(standing.cluster)

    def again() -> None:
        with orders.taken_at(state.root() / "real" / state.LOG) as keeper:
            keeper.serve([run])

    standing.call(again)
    assert len(logged(r"exited|serving 20085")) == 1
    assert len(running(" 20085")) == 1


def test_a_lab_that_runs_no_commands_runs_none_later_either(
    build: Callable[..., str], invoke: Invoke, tmp_path: Path
) -> None:
    build("")
    file = tmp_path / "more.yaml"
    file.write_text(server("web"))
    assert invoke("lab.apply", str(file)).returncode == 0
    assert json.loads(invoke("lab.exec", "client-a", "curl -s web:8080").stdout)["pod"] == "web"
