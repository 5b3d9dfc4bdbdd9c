"""Every command as a user types it, on labs that stand: what it prints, as text and as JSON, and its exit status."""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab import check
from lab.errors import LabError
from lab.standing import logbook, observe, session
from tests.kernel.printed import data, refused

from .conftest import ROOT, Invoke, invocation

Lab = Callable[..., Invoke]


# --- lab.up ----------------------------------------------------------------------------------------------------------


def test_up_shows_what_stands_and_the_commands_to_try_next_work(invoke: Invoke) -> None:
    done = invoke("lab.up", "clusterip")
    assert re.fullmatch(r"built and answering in \d+\.\d\d s\n", done.stderr)
    for row in (
        r"node-1 +192\.168\.0\.10 +10\.244\.1\.0/24 +2",
        r"web-2 +node-2 +10\.244\.2\.2 +8080/TCP, 5353/UDP +answers in [\d.]+ m?s",
        r"web +ClusterIP +10\.96\.0\.10 +80/TCP +web-1 10\.244\.1\.2:8080",
        r"client +198\.51\.100\.10",
    ):
        assert re.search(f"^{row}$", done.stdout, re.MULTILINE)
    moves = done.stdout.partition("try next:\n")[2].splitlines()
    assert len(moves) == 3
    for move in moves:
        program, *words = move.split()
        assert program == "invoke"
        assert invoke(*words).returncode == 0


def test_up_as_json_says_whether_it_built_and_what_stands(invoke: Invoke) -> None:
    status = data(invoke("lab.up", "nodeport", "--json"))
    assert status["built"] is True
    assert (status["lab"], status["topology"], status["mode"], status["healthy"]) == (
        "nodeport",
        "nodeport",
        "iptables",
        True,
    )
    assert [node["name"] for node in status["nodes"]] == ["node-1", "node-2", "node-3"]
    assert status["services"][0]["ports"][0]["node_port"] == 30080


def test_a_folder_and_a_file_are_topologies_too(invoke: Invoke, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "topologies/hairpin", tmp_path / "mine")
    assert invoke("lab.up", "./mine", "--lab", "a", cwd=tmp_path).returncode == 0
    assert invoke("lab.up", str(tmp_path / "mine/lab.yaml"), "--lab", "b").returncode == 0
    assert [row["name"] for row in data(invoke("lab.list", "--json"))] == ["a", "b"]


def test_up_with_other_settings_than_those_of_the_lab_that_stands_says_so(lab: Lab) -> None:
    invoke = lab("hairpin")
    again = invoke("lab.up", "hairpin")
    assert "nothing was changed\n" in again.stderr
    assert "not as asked for" not in again.stderr
    other = invoke("lab.up", "hairpin", "--hairpin-mode", "none")
    assert other.returncode == 0
    assert "it is not as asked for now; to have that, end it first: invoke lab.down --lab hairpin" in other.stderr


@pytest.mark.parametrize(("mode", "port"), [("hairpin-veth", "hairpin on"), ("none", "hairpin off")])
def test_the_hairpin_mode_is_that_of_the_nodes_ports(lab: Lab, mode: str, port: str) -> None:
    done = lab("hairpin", "--hairpin-mode", mode)("lab.exec", "node-1", "bridge -d link show dev veth-web-1")
    assert port in done.stdout


@pytest.mark.parametrize(("variant", "other"), [("nft", "legacy"), ("legacy", "nft")])
def test_the_iptables_that_was_chosen_installs_the_rules(lab: Lab, variant: str, other: str) -> None:
    invoke = lab("clusterip", "--iptables", variant)
    assert data(invoke("lab.status", "--json"))["iptables"] == variant
    for which, installed in ((variant, True), (other, False)):
        saved = invoke("lab.exec", "node-1", f"iptables-{which}-save -t nat").stdout
        assert ("-j KUBE-SVC-" in saved) is installed


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        (
            "--mode",
            "ipvs",
            (
                "--mode 'ipvs' is not supported: kube-proxy gave IPVS up (deprecated in 1.35), Hairpin never had it;"
                " expected iptables or nftables"
            ),
        ),
        ("--mode", "iptable", "--mode 'iptable': expected iptables or nftables\n  hint: did you mean iptables?"),
        ("--iptables", "nftables", "--iptables 'nftables': expected nft or legacy"),
        (
            "--hairpin-mode",
            "on",
            "--hairpin-mode 'on': expected hairpin-veth, promiscuous-bridge or none",
        ),
    ],
)
def test_a_setting_that_there_is_not_is_refused(
    invoke: Invoke, runtime: Path, option: str, value: str, message: str
) -> None:
    assert refused(invoke("lab.up", "clusterip", option, value)).startswith(message)
    assert list(runtime.iterdir()) == []


@pytest.mark.parametrize(("mode", "other"), [("iptables", "nftables"), ("nftables", "iptables")])
def test_the_mode_that_was_chosen_installs_its_rules(lab: Lab, mode: str, other: str) -> None:
    invoke = lab("clusterip", "--mode", mode)
    assert data(invoke("lab.status", "--json"))["mode"] == mode
    rules = {"iptables": "iptables-save -t nat | grep KUBE-SVC-", "nftables": "nft list table ip kube-proxy"}
    assert invoke("lab.exec", "node-1", rules[mode]).returncode == 0
    assert invoke("lab.exec", "node-1", f"{rules[other]} 2>/dev/null").returncode == 1
    assert invoke("lab.curl", "client-a", "svc/web").returncode == 0


def test_a_dry_run_needs_no_privileges_and_changes_nothing(runtime: Path) -> None:
    """In a user namespace without any mapping we are nobody, and may not even make another one."""
    nobody = ["unshare", "--user", *invocation("lab.up", "clusterip")]
    dry = subprocess.run([*nobody, "--dry-run"], capture_output=True, text=True, check=False)
    assert dry.returncode == 0
    for line in (
        "ip netns add web-1",
        "ip -n web-1 route add default via 10.244.1.1",
        "sysctl -w net.ipv4.ip_forward=1",
        "KUBE-SVC-CDGGSHYLG3RE2FKL",
    ):
        assert line in dry.stdout
    assert re.search(r"^ip .*neigh.* lladdr .* nud permanent", dry.stdout, re.MULTILINE)
    assert "nothing was done: leave out --dry-run to build it" in dry.stderr
    wet = subprocess.run(nobody, capture_output=True, text=True, check=False)
    assert "this machine refuses the namespaces of a lab" in refused(wet)
    assert "invoke lab.doctor" in wet.stderr
    assert list(runtime.iterdir()) == []


def test_a_dry_run_as_json_lists_each_op_and_how_many_there_are_of_each(invoke: Invoke, runtime: Path) -> None:
    planned = data(invoke("lab.up", "clusterip", "--dry-run", "--json"))
    assert {"sysctl", "namespace", "veth", "address", "route", "neighbour", "rules"} <= {
        op["op"] for op in planned["ops"]
    }
    assert planned["count"]["namespace"] == sum(op["op"] == "namespace" for op in planned["ops"]) == 7
    assert list(runtime.iterdir()) == []


def _hiding(tool: str, command: str) -> subprocess.CompletedProcess[str]:
    """Run a shell's command where `tool` is not a program."""
    path = os.path.realpath(shutil.which(tool, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") or "")
    rights = ["--mount"] if os.geteuid() == 0 else ["--user", "--map-current-user", "--keep-caps", "--mount"]
    argv = ["unshare", *rights, "sh", "-c", f"mount --bind /dev/null {path} && {command}"]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def test_a_missing_tool_is_named_with_the_next_move_and_nothing_stays(runtime: Path) -> None:
    done = _hiding("iptables-nft-restore", " ".join(invocation("lab.up", "clusterip")))
    assert refused(done) == (
        "iptables-nft-restore: not found on this machine\n  hint: `invoke lab.doctor` says what installs it"
    )
    assert list(runtime.iterdir()) == []


def test_a_lab_that_runs_out_of_something_says_where_and_leaves_nothing(runtime: Path, tmp_path: Path) -> None:
    large = tmp_path / "large.yaml"
    text = (ROOT / "topologies/clusterip/lab.yaml").read_text()
    large.write_text(text.replace("replicas: 2", "replicas: 60"))
    few = ["sh", "-c", 'ulimit -n 48; exec "$@"', "sh", *invocation("lab.up", str(large))]
    done = subprocess.run(few, capture_output=True, text=True, check=False)
    assert re.match(r"in \S+: .*Too many open files", refused(done))
    assert list(runtime.iterdir()) == []


# --- lab.down, lab.list, and the choice of a lab ---------------------------------------------------------------------


def test_down_ends_one_lab_or_all_of_them(invoke: Invoke, runtime: Path) -> None:
    for name in ("one", "two", "three"):
        assert invoke("lab.up", "hairpin", "--lab", name).returncode == 0
    assert re.search(r"^one +hairpin +[\d.]+ m?s +\d+$", invoke("lab.list").stdout, re.MULTILINE)
    assert invoke("lab.down", "--lab", "one").stdout == "lab one is gone\n"
    assert refused(invoke("lab.down", "--all", "--lab", "two")) == "--all and --lab two: expected one of the two"
    assert [row["name"] for row in data(invoke("lab.list", "--json"))] == ["three", "two"]
    assert data(invoke("lab.down", "--all", "--json")) == {"ended": ["three", "two"]}
    assert invoke("lab.down", "--all").stdout == "no lab stands\n"
    assert invoke("lab.list").stdout == "no lab stands; build one: invoke lab.up clusterip\n"
    assert data(invoke("lab.list", "--json")) == []
    assert list(runtime.iterdir()) == []


def test_a_command_works_on_the_lab_that_is_named_else_the_environments_else_the_only_one(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    invoke("lab.up", "hairpin")
    assert data(invoke("lab.status", "--json"))["lab"] == "hairpin"
    invoke("lab.up", "hairpin", "--lab", "other")
    assert refused(invoke("lab.status")) == "several labs stand: hairpin, other\n  hint: say which: --lab hairpin"
    monkeypatch.setenv("HAIRPIN_LAB", "other")
    assert data(invoke("lab.status", "--json"))["lab"] == "other"
    assert data(invoke("lab.status", "--lab", "hairpin", "--json"))["lab"] == "hairpin"
    assert refused(invoke("lab.status", "--lab", "nope")) == (
        "no lab 'nope' stands; standing: hairpin, other\n  hint: build it: invoke lab.up TOPOLOGY --lab nope"
    )


def test_next_moves_name_the_lab_when_several_stand(lab: Lab) -> None:
    done = lab("hairpin")("lab.up", "clusterip")
    assert "\n  invoke lab.curl client-a svc/web --lab clusterip\n" in done.stdout


NEED_A_LAB = [
    ("lab.down",),
    ("lab.status",),
    ("lab.curl", "client-a", "svc/web"),
    ("lab.conntrack",),
    ("lab.check",),
    ("lab.exec", "client-a", "true"),
    ("lab.shell",),
    ("lab.logs",),
    ("lab.report",),
]


@pytest.mark.parametrize("words", NEED_A_LAB, ids=lambda words: words[0])
def test_without_a_lab_a_command_says_how_to_build_one(invoke: Invoke, words: tuple[str, ...]) -> None:
    assert refused(invoke(*words)) == "no lab stands\n  hint: build one: invoke lab.up clusterip"


@pytest.mark.parametrize(
    "work",
    [
        observe.status,
        lambda lab: check.check(lab, lambda *_: None),
        lambda lab: observe.ask(lab, "client-a", "svc/web"),
        lambda lab: observe.flows(lab, []),
        logbook.lines,
    ],
    ids=["status", "check", "curl", "conntrack", "logs"],
)
def test_a_lab_that_goes_while_a_command_works_on_it_is_the_users_to_know(lab: Lab, work: Callable[..., Any]) -> None:
    invoke = lab("hairpin")
    attached = session.attach()
    assert invoke("lab.down").returncode == 0
    with pytest.raises(LabError):
        work(attached)


# --- lab.status, lab.logs, lab.report, lab.doctor --------------------------------------------------------------------


def test_status_fails_when_a_pod_is_silent(lab: Lab) -> None:
    invoke = lab("clusterip")
    assert data(invoke("lab.status", "--json"))["healthy"] is True
    assert invoke("lab.exec", "web-1", "ip link set eth0 down").returncode == 0
    done = invoke("lab.status")
    assert done.returncode == 1
    assert re.search(r"^web-1 .* does not answer$", done.stdout, re.MULTILINE)
    status = data(invoke("lab.status", "--json"), 1)
    assert status["healthy"] is False
    assert {pod["name"]: pod["answering"] for pod in status["pods"]} == {
        "web-1": False,
        "web-2": True,
        "client-a": None,
    }


def test_the_report_has_the_rules_of_legacy_iptables_where_they_are(lab: Lab) -> None:
    report = lab("hairpin", "--iptables", "legacy")("lab.report", "--file", "-").stdout
    rules = report.partition("===== node-1: iptables-legacy-save -c -t nat\n")[2].partition("=====")[0]
    assert "-A KUBE-SERVICES -d 10.96.0.10/32" in rules
    assert "===== web-1: iptables-legacy-save" not in report


def test_the_report_is_a_file_that_is_never_overwritten(lab: Lab, tmp_path: Path) -> None:
    invoke = lab("hairpin")
    first = invoke("lab.report", cwd=tmp_path)
    assert re.match(r"hairpin-report-hairpin\.txt: \d+ lines; read it before you hand it on", first.stdout)
    file = tmp_path / "hairpin-report-hairpin.txt"
    assert "===== versions" in file.read_text()
    file.write_text("mine")
    assert refused(invoke("lab.report", cwd=tmp_path)).startswith("--file 'hairpin-report-hairpin.txt': File exists")
    assert file.read_text() == "mine"
    elsewhere = tmp_path / "report"
    assert invoke("lab.report", "--file", str(elsewhere)).returncode == 0
    assert "===== versions" in elsewhere.read_text()
    assert "No such file or directory" in refused(invoke("lab.report", "--file", str(tmp_path / "no/where")))


def test_the_doctor_says_what_is_there_and_what_for(invoke: Invoke) -> None:
    checks = data(invoke("lab.doctor", "--json"))
    named = {check["name"]: check for check in checks}
    assert named["veth"]["status"] == "ok"
    assert named["capabilities inside them"]["required"] is True
    text = invoke("lab.doctor").stdout
    assert all(name in text for name in named)


def test_the_doctor_says_what_installs_a_missing_tool_and_fails_if_no_lab_can_stand(runtime: Path) -> None:
    done = _hiding("iptables-nft-restore", " ".join(invocation("lab.doctor")))
    assert done.returncode == 2
    assert re.search(r"^missing +iptables over nf_tables", done.stdout, re.MULTILINE)
    assert "install" in done.stdout
    assert list(runtime.iterdir()) == []


# --- what may happen to any of them ----------------------------------------------------------------------------------


def test_a_reader_that_has_seen_enough_ends_a_command_quietly(lab: Lab) -> None:
    invoke = lab("clusterip")
    assert invoke("lab.curl", "client-a", "svc/web", "--count", "1000", "--timeout", "60").returncode == 0
    pipe = subprocess.Popen(invocation("lab.conntrack", "--json"), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert pipe.stdout is not None
    assert pipe.stderr is not None
    assert pipe.stdout.readline() == b"[\n"
    pipe.stdout.close()  # more than a pipe holds is still to come
    assert pipe.stderr.read() == b""
    pipe.stderr.close()
    assert pipe.wait() == 0


def test_an_output_that_is_full_is_told_in_a_line(lab: Lab) -> None:
    lab("hairpin")
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(invocation("lab.status"), stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "error: [Errno 28] No space left on device\n")


def test_a_state_folder_that_cannot_be_written_is_told_and_nothing_is_built(invoke: Invoke, runtime: Path) -> None:
    (runtime / "hairpin").mkdir(mode=0o500)
    message = refused(invoke("lab.up", "clusterip"))
    assert "expected a folder of your own with mode 0700, found dr-x------" in message
    assert "XDG_RUNTIME_DIR" in message
    assert list((runtime / "hairpin").iterdir()) == []


def test_two_pods_that_share_a_nodes_network_and_a_port_are_refused(
    invoke: Invoke, runtime: Path, tmp_path: Path
) -> None:
    spec = "{hostNetwork: true, containers: [{ports: [{containerPort: 80}]}]}"
    pods = [f"---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec: {spec}\n" for name in ("a", "b")]
    lab = "apiVersion: hairpin/v1alpha1\nkind: Lab\nmetadata: {name: clash}\nspec: {nodes: [node-1]}\n"
    file = tmp_path / "clash.yaml"
    file.write_text(lab + "".join(pods))
    assert "80/TCP is taken on node-1 by the host-network pod a" in refused(invoke("lab.up", str(file)))
    assert list(runtime.iterdir()) == []


@pytest.mark.parametrize("words", NEED_A_LAB[1:], ids=lambda words: words[0])
def test_a_command_on_a_lab_that_was_killed_says_that_none_stands(
    lab: Lab, runtime: Path, words: tuple[str, ...]
) -> None:
    invoke = lab("hairpin")
    (row,) = data(invoke("lab.list", "--json"))
    fd = os.pidfd_open(row["keeper_pid"])
    os.kill(row["keeper_pid"], signal.SIGKILL)
    assert select.select([fd], [], [], 20)[0]  # it has ended
    os.close(fd)
    assert refused(invoke(*words)).startswith("no lab stands")
    assert list(runtime.iterdir()) == []
