"""Commands and shells inside a lab behave as they do on a machine: status, output, terminal, names."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import TypeAlias

import pexpect
import pytest

from .conftest import Invoke, invocation, lab_of_module

Lab = Callable[..., Invoke]
Shell: TypeAlias = "pexpect.spawn[str]"


@pytest.fixture(scope="module")
def clusterip(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Invoke]:
    """Give tasks on a lab `clusterip` that stands for all tests of this module that leave it as it is."""
    with lab_of_module(tmp_path_factory, "clusterip") as invoke:
        yield invoke


@pytest.mark.parametrize(
    ("command", "status"), [("true", 0), ("exit 7", 7), ("kill -TERM $$", 143), ("no-such-thing", 127)]
)
def test_the_exit_status_is_the_commands_own(clusterip: Invoke, command: str, status: int) -> None:
    assert clusterip("lab.exec", "node-1", command).returncode == status


IGNORES_CHILDREN = (
    "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
)


@pytest.mark.usefixtures("clusterip")
@pytest.mark.parametrize(
    "starter",
    [
        *(["sh", "-c", f'exec "$@" {closed}', "sh"] for closed in ("<&-", ">&-", "2>&-", "<&- >&- 2>&-")),
        [sys.executable, "-c", IGNORES_CHILDREN],
        ["sh", "-c", 'cd "$(mktemp -d)" && rmdir "$PWD" && exec "$@"', "sh"],
    ],
    ids=["no stdin", "no stdout", "no stderr", "no standard files", "SIGCHLD ignored", "no folder"],
)
def test_a_command_runs_however_its_caller_left_the_process(starter: list[str]) -> None:
    done = subprocess.run(
        [*starter, *invocation("lab.exec", "node-1", "exit 7")], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (7, "")


def test_output_and_input_are_the_commands_own(clusterip: Invoke) -> None:
    done = clusterip("lab.exec", "client-a", "cat; echo err >&2", stdin="a\nb\n")
    assert (done.stdout, done.stderr) == ("a\nb\n", "err\n")


def test_a_command_sees_its_place_alone(clusterip: Invoke) -> None:
    seen = clusterip("lab.exec", "web-2", "hostname; ip -br -4 address show eth0; ls /sys/class/net | sort | xargs")
    hostname, address, devices = seen.stdout.splitlines()
    assert (hostname, address.split()[2], devices) == ("web-2", "10.244.2.2/24", "eth0 lo")


@pytest.mark.parametrize("name", ["web", "web.default", "web.default.svc", "web.default.svc.cluster.local"])
def test_a_service_resolves_by_its_cluster_names(clusterip: Invoke, name: str) -> None:
    assert clusterip("lab.exec", "client-a", f"curl -s http://{name}/hostname").stdout in {"web-1", "web-2"}


def test_a_pod_resolves_by_its_name(clusterip: Invoke) -> None:
    assert clusterip("lab.exec", "client-a", "curl -s web-2:8080/hostname").stdout == "web-2"


def test_a_name_of_the_world_fails_at_once_without_a_packet_to_the_hosts_resolver(clusterip: Invoke) -> None:
    done = clusterip("lab.exec", "client-a", "timeout 4 curl -sS http://example.com/")
    assert done.returncode == 6  # curl(1): could not resolve host; 124 would be timeout(1)'s


@pytest.mark.usefixtures("clusterip")
def test_every_namespace_is_seen_from_the_capsule() -> None:
    with _shell("") as shell:
        shell.expect_exact("clusterip:")
        shell.sendline("ip netns exec node-1 iptables -t nat -S KUBE-SERVICES | grep -c KUBE-SVC; ip netns | wc -l")
        shell.expect_exact("\r\n2\r\n7\r\n")
        shell.sendline("exit")
        shell.expect(pexpect.EOF)


def _shell(target: str) -> Shell:
    words = ["lab.shell", *(["--target", target] if target else [])]
    argv = invocation(*words)
    env = {**os.environ, "TERM": "dumb"}
    return pexpect.spawn(argv[0], argv[1:], env=env, encoding="utf-8", timeout=20, dimensions=(30, 100))


@pytest.fixture
def shell(clusterip: Invoke) -> Iterator[Shell]:  # noqa: ARG001 - the shell's lab
    """Give an interactive shell in client-a, at its first prompt."""
    with _shell("client-a") as opened:
        opened.expect_exact("clusterip:client-a:")
        yield opened


def test_the_prompt_names_the_lab_and_the_place(shell: Shell) -> None:
    shell.sendline("curl -s web/hostname; echo")
    shell.expect(r"\r\nweb-[12]\r\n")
    shell.expect_exact("clusterip:client-a:")
    shell.sendline("exit 3")
    shell.expect(pexpect.EOF)
    shell.close()
    assert shell.exitstatus == 3


def test_ctrl_c_ends_the_command_and_not_the_shell(shell: Shell) -> None:
    shell.sendline("sh -c 'echo run; exec sleep 1000'")
    shell.expect_exact("\r\nrun\r\n")
    shell.sendintr()
    shell.expect_exact("clusterip:client-a:")
    shell.sendline("echo status $?")
    shell.expect_exact("status 130")


def test_job_control_works(shell: Shell) -> None:
    shell.sendline("sh -c 'echo run; exec sleep 1000'")
    shell.expect_exact("\r\nrun\r\n")
    shell.send("\x1a")
    shell.expect("Stopped")
    shell.expect_exact("clusterip:client-a:")
    shell.sendline("bg; jobs")
    shell.expect("Running")
    shell.sendline("kill %1; wait; echo waited")
    shell.expect_exact("\r\nwaited")


@pytest.mark.usefixtures("clusterip")
def test_a_command_in_the_background_leaves_the_terminal_to_the_shell_that_started_it() -> None:
    job = shlex.join(invocation("lab.exec", "client-a", "true"))
    with pexpect.spawn("bash", ["--norc", "--noprofile", "-i"], encoding="utf-8", timeout=20) as outer:
        outer.sendline(f"({job}; echo en''ded) &")
        outer.expect_exact("ended")  # while the shell reads its next line
        outer.sendline("echo ali''ve")
        outer.expect_exact("alive")  # not the end that a shell without its terminal comes to


def test_a_shell_inherits_none_of_our_files(shell: Shell) -> None:
    shell.sendline("ls /proc/self/fd | xargs echo files:")
    shell.expect_exact("files: 0 1 2 3\r\n")  # 3 is the folder that ls(1) reads


def test_a_resized_terminal_is_noticed(shell: Shell) -> None:
    shell.sendline("stty size")
    shell.expect_exact("30 100")
    shell.setwinsize(40, 120)
    shell.sendline("stty size")
    shell.expect_exact("40 120")


def test_our_own_commands_work_inside(shell: Shell) -> None:
    shell.sendline("hairpin lab.curl client-a svc/web")
    shell.expect(r"200 +web-[12]")


def test_a_shell_ends_with_its_lab(lab: Lab) -> None:
    invoke = lab("clusterip")
    with _shell("node-1") as shell:
        shell.expect_exact("clusterip:node-1:")
        assert invoke("lab.down").returncode == 0
        shell.expect(pexpect.EOF)
        shell.close()
        assert shell.exitstatus == 128 + signal.SIGKILL


@pytest.mark.parametrize("task", ["lab.exec", "lab.shell"])
def test_an_unknown_place_is_told_with_the_nearest(clusterip: Invoke, task: str) -> None:
    words = ["lab.exec", "web-9", "true"] if task == "lab.exec" else ["lab.shell", "--target", "web-9"]
    done: subprocess.CompletedProcess[str] = clusterip(*words)
    assert done.returncode == 2
    assert "web-9" in done.stderr
    assert "did you mean web-" in done.stderr
