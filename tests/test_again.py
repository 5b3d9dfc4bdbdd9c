"""Who asked whom in a check, and the command that asks the same again."""

from __future__ import annotations

from typing import Any

import pytest

from lab.kernel import command
from lab.kernel.command import Command
from lab.model.finding import Finding
from lab.model.lab import Expectation, Step
from lab.model.verdict import CellSeen, Verdict
from lab.report import again, exercise
from lab.report.table import Look


def asked(source: str = "client/client-b", to: str = "svc/web:80", **fields: Any) -> Expectation:
    return Expectation(it="i", from_=source, to=to, **fields)


def cell(*wanted: Expectation, it: str = "i", what: str = "answer", name: str = "hairpin") -> CellSeen:
    """Return a red cell, of which the first finding that does not hold is the last one's."""
    good = Finding(it=it, what="answer", expected="answered", observed="answered", holds=True)
    bad = Finding(it=it, what=what, expected="answered by web-2", observed="timeout after 3.0 s", holds=False)
    findings = (*((good,) for _ in wanted[1:]), (bad,))
    return CellSeen(name=name, it="i", state="red", findings=findings, asked=wanted)


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (asked(), "client-b -> svc/web:80"),
        (asked("pod/kube-system/dns-1", "svc/kube-system/dns:53", protocol="udp"),
         "kube-system/dns-1 -> svc/kube-system/dns:53 (UDP)"),
        (asked("node/node-1", "node/node-2:30080"), "node-1 -> node-2:30080"),
        (asked("web-1", "web-2", port=8080), "web-1 -> web-2:8080"),
        (asked("deploy/crowd", "127.0.0.1:30080"), "deploy/crowd -> 127.0.0.1:30080"),
    ],
)  # fmt: skip
def test_who_asked_whom_is_said_in_short(one: Expectation, said: str) -> None:
    assert again.in_short(one) == said


def test_a_red_cell_says_which_of_those_who_asked_was_not_served() -> None:
    told = exercise.checked([cell(asked("pod/web-1"), asked())], Look(width=80))
    assert told.splitlines()[2:] == [
        "            client-b -> svc/web:80: answer: timeout after 3.0 s; expected",
        "            answered by web-2",
    ]


def test_each_finding_has_its_request_in_the_json_and_an_answer_to_a_question_has_none() -> None:
    question = CellSeen(name="which", it="i", state="red", findings=cell(asked()).findings)
    seen = Verdict(cells=(cell(asked("pod/web-1"), asked(protocol="udp", local_port=40_000)), question))
    first, second = exercise.verdict_data(seen)["cells"]
    keys = ("from", "to", "port", "protocol", "localPort", "observed")
    assert [[finding[key] for key in keys] for finding in first["findings"]] == [
        ["pod/web-1", "svc/web:80", 80, "tcp", None, "answered"],
        ["client/client-b", "svc/web:80", 80, "udp", 40_000, "timeout after 3.0 s"],
    ]
    assert "from" not in second["findings"][0]


@pytest.mark.parametrize(
    ("to", "port", "number"),
    [("svc/web", 81, 81), ("svc/web:http", None, None), ("[fd00::1]:81", None, 81), ("fd00::1", None, None),
     ("http://web/", None, 80)],
)  # fmt: skip
def test_the_port_is_a_number_if_one_was_said(to: str, port: int | None, number: int | None) -> None:
    assert again.data(asked(to=to, port=port))["port"] == number


@pytest.mark.parametrize(
    ("one", "line"),
    [
        (asked(), "lab.trace client/client-b svc/web:80"),
        (asked(size=60_000, port=81, to="web-1"), "lab.trace client/client-b web-1 --port 81 --size 60000"),
        (asked(shares="some"), "lab.curl client/client-b svc/web:80 --count 10 --timeout 2"),
        (asked(shares="equal", protocol="udp"), "lab.curl client/client-b svc/web:80 --udp --count 100 --timeout 2"),
    ],
)
def test_what_is_red_can_be_asked_again_one_request_is_followed_and_many_are_counted(
    one: Expectation, line: str
) -> None:
    assert again.first_red([cell(one)]) == f"to ask it again (hairpin):\n  invoke {line}"


def test_what_no_command_asks_again_is_passed_over() -> None:
    step = Step(it="the others go")
    never = [
        cell(asked("deploy/crowd")),
        cell(asked(connections=100)),
        cell(asked(shares="some", family="ipv6")),
        cell(asked(then=(step,)), it="the others go"),
        cell(asked(), what="names"),
        CellSeen(name="which", it="i", state="red", findings=cell(asked()).findings),
    ]
    assert again.first_red(never) == ""
    told = again.first_red([*never, cell(asked(then=(step,)), name="udp"), cell(asked("pod/web-1"))])
    assert told == "to ask it again (udp):\n  invoke lab.trace client/client-b svc/web:80"


def test_a_long_command_is_folded_as_a_shell_takes_it() -> None:
    one = asked("pod/kube-system/coredns-7db6d8ff4d-x2x4z", "svc/monitoring/a-service-with-a-name:53", shares="some")
    told = again.first_red([cell(one)], "exercise-2")
    _, *lines = told.splitlines()
    assert len(lines) > 1
    assert max(map(len, lines)) <= 80
    argv = ["invoke", "lab.curl", one.from_, one.to, "--count", "10", "--timeout", "2", "--lab", "exercise-2"]
    script = "\n".join(lines).replace("invoke", "printf '%s\\n' invoke")
    assert command.run_all([Command(argv=("sh", "-c", script))])[0].stdout.split() == argv


def test_a_command_that_just_fits_is_one_line() -> None:
    told = [again.first_red([cell(asked("pod/client-b"))], "x" * long).splitlines()[1:] for long in (31, 32)]
    assert [len(lines) for lines in told] == [1, 2]
    assert len(told[0][0]) == 80
