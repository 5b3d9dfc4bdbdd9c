"""What a container's command is, whose ports it answers on, and what is said of one that does not run."""

from __future__ import annotations

import dataclasses
import shutil

import pytest
from msgspec.structs import replace

from lab import topology
from lab.controllers import notes
from lab.controllers.amend import Edit, changed
from lab.controllers.keep import replaced
from lab.errors import TopologyError
from lab.model.cluster import Cluster
from lab.model.kubernetes import Container, EnvVar
from lab.model.ops import Run, Serve
from lab.model.program import PATH, argv, environment, expanded, program, title
from lab.parse import saved
from lab.plan import difference, plan
from lab.plan.describe import describe
from lab.standing import programs

TEXT = """
apiVersion: hairpin/v1alpha1
kind: Lab
metadata: {name: a}
spec: {nodes: [node-1]}
---
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  containers:
  - {name: files, command: [sh, -c, "echo $(WORD)"], env: [{name: WORD, value: "a b"}], ports: [{containerPort: 80}]}
  - {name: none, command: [no-such-program], ports: [{containerPort: 81}]}
  - {name: image, args: [serve], ports: [{containerPort: 82}]}
"""


def cluster(*, run: bool) -> Cluster:
    whole = topology.read(TEXT, "t.yaml").cluster
    return programs.sought(dataclasses.replace(whole, programs={})) if run else whole


@pytest.mark.parametrize(
    ("text", "result"),
    [  # Source: third_party/forked/golang/expansion/expand_test.go of kubernetes/kubernetes
        ("$(A)", "1"),
        ("x$(A)y$(B)z", "x1y2z"),
        ("$(C)", "$(C)"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$$$$(A)", "$$(A)"),
        ("$A", "$A"),
        ("$", "$"),
        ("$(", "$("),
        ("$(A", "$(A"),
        ("$()", "$()"),
        ("$(A)$(A)", "11"),
        ("$($(A)", "$($(A)"),
        ("foo$", "foo$"),
    ],
)
def test_references_are_expanded_as_kubelet_does(text: str, result: str) -> None:
    assert expanded(text, {"A": "1", "B": "2"}) == result


def test_a_variable_may_refer_to_those_before_it_and_one_without_a_value_is_not_set() -> None:
    env = (
        EnvVar(name="A", value="1"),
        EnvVar(name="B", value="$(A)$(C)"),
        EnvVar(name="C"),
        EnvVar(name="E", value=""),
    )
    assert environment(Container(env=env)) == {"A": "1", "B": "1$(C)", "E": ""}


@pytest.mark.parametrize(
    ("command", "folder", "found"),
    [
        (("nginx", "-g"), "", "nginx"),
        (("/usr/bin/nginx",), "/srv", "/usr/bin/nginx"),
        (("./serve",), "/srv", "/srv/./serve"),
        (("bin/serve",), "", "/bin/serve"),
        ((), "/srv", ""),
    ],
)
def test_a_program_is_a_name_or_an_absolute_path(command: tuple[str, ...], folder: str, found: str) -> None:
    assert program(Container(command=command, working_dir=folder)) == found


def test_arguments_alone_are_no_command() -> None:
    assert argv(Container(args=("serve",))) == ()
    assert title(Container(command=("/bin/serve",))) == "serve"


def test_without_the_option_nothing_runs_and_how_many_would_is_said() -> None:
    whole = cluster(run=False)
    ops = plan(whole).ops
    assert not [op for op in ops if isinstance(op, Run)]
    assert [op.ports for op in ops if isinstance(op, Serve)] == [(("TCP", 80), ("TCP", 81), ("TCP", 82))]
    assert notes(whole) == (
        "2 containers have a command that is not run: Hairpin's own server answers instead; --run-commands runs it",
    )


def test_what_runs_has_its_ports_for_itself_and_what_is_not_found_is_said() -> None:
    whole = cluster(run=True)
    ops = plan(whole).ops
    assert [op.ports for op in ops if isinstance(op, Serve)] == [(("TCP", 81), ("TCP", 82))]
    (run,) = [op for op in ops if isinstance(op, Run)]
    assert (run.program, run.argv) == (shutil.which("sh", path=PATH), ("sh", "-c", "echo a b"))
    assert run.env == (("PATH", PATH), ("HOSTNAME", "web"), ("WORD", "a b"))
    assert (run.pod, run.container, run.netns, run.hostname, run.folder) == ("web", "files", "web", "web", "/")
    assert run.ports == (("TCP", 80),)
    (note,) = notes(whole)
    assert note.startswith("pod web: 'no-such-program' is not found on this machine, so Hairpin's own server answers")


def test_the_plan_shows_what_would_run_as_a_command() -> None:
    (run,) = [op for op in plan(cluster(run=True)).ops if isinstance(op, Run)]
    assert describe(run) == (
        f"ip netns exec web env -i -C / PATH={PATH} HOSTNAME=web 'WORD=a b' {run.program} -c 'echo a b' &  # pod web"
    )


def test_a_document_cannot_ask_for_its_commands_to_be_run() -> None:
    text = TEXT.replace("spec: {nodes", "spec: {programs: {sh: /bin/sh}, nodes")
    with pytest.raises(TopologyError, match="programs"):
        topology.read(text, "t.yaml")


def test_a_lab_remembers_which_commands_run_and_a_change_does_not_forget_it() -> None:
    for run in (True, False):
        whole = cluster(run=run)
        assert saved.restore(saved.save(whole)) == whole
        assert changed(whole, Edit()).programs == whole.programs


def test_a_program_that_was_missing_stays_so_while_the_lab_stands() -> None:
    whole = cluster(run=True)
    known = {**(whole.programs or {}), "sh": ""}
    assert programs.sought(dataclasses.replace(whole, programs=known)).programs == known


def test_a_pod_with_another_command_is_another_pod() -> None:
    pod = cluster(run=True).pods[0]
    first, *others = pod.spec.containers
    for other in (replace(first, args=("x",)), replace(first, env=()), replace(first, working_dir="/srv")):
        assert replaced(pod, replace(pod, spec=replace(pod.spec, containers=(other, *others))))
    assert not replaced(pod, pod)


def test_a_pod_that_goes_is_closed_once_though_it_is_served_and_runs_something() -> None:
    whole = cluster(run=True)
    gone = difference(whole, dataclasses.replace(whole, pods=())).after
    assert [describe(op) for op in gone if type(op).__name__ == "Close"] == ["# in web: serve as pod web no more"]
