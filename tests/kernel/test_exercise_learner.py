"""A learner takes exercises: from the ticket to the pass with ordinary tools, and whatever comes between."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import termios
from pathlib import Path
from typing import Any, TypeAlias

import pexpect
import pytest

from lab.model.progress import Attempt, Record
from lab.standing import state
from lab.workshop import course as courses
from lab.workshop import progress as file

from .conftest import ROOT, Invoke, invocation

Terminal: TypeAlias = "pexpect.spawn[str]"
EXERCISE = "ip-forward-off"
KEYS = "q quit]"


QUIZ = """
apiVersion: hairpin/v1alpha1
kind: Exercise
metadata: {name: NAME}
spec:
  title: Where is it dropped?
  difficulty: 1
  minutes: 5
  may: nothing
  success: the answer is right
  topology: clusterip
  mend: false
  questions:
  - name: hook
    ask: Which hook?
    choices: [input, forward]
    answer: forward
    why: It is routed.
    proof: {it: it is answered, from: client-a, to: svc/web, journey: {contains: [dnat], end: delivered}}
"""


@pytest.fixture(autouse=True)
def course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give this test a folder of exercises of its own: one that comes along, and two quizzes."""
    root = tmp_path / "course"
    shutil.copytree(ROOT / "exercises" / "01-clusterip" / EXERCISE, root / "01-clusterip" / EXERCISE)
    hints = "".join(f"## {level}\n\nhint\n" for level in range(1, 5))
    for name in ("quiz", "quiz-2"):
        folder = root / "02-quizzes" / name
        folder.mkdir(parents=True)
        texts = {"exercise.yaml": QUIZ.replace("NAME", name), "ticket.md": "t", "hints.md": hints, "solution.md": "s"}
        for file_name, text in texts.items():
            (folder / file_name).write_text(text)
    monkeypatch.setenv(courses.VARIABLE, str(root))
    return root


@pytest.fixture(autouse=True)
def progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give this test a learner of its own."""
    kept = tmp_path / "progress.json"
    monkeypatch.setenv(file.VARIABLE, str(kept))
    return kept


def attempt() -> Attempt:
    found = file.read().attempt
    assert found is not None
    return found


def record(name: str) -> Record:
    return next(row.record for row in courses.course().rows if row.name == name)


def broken_node(ticket: str) -> str:
    found = re.search(r"Since (node-\d) was rebooted", ticket)
    assert found
    return found[1]


def terminal(*words: str) -> Terminal:
    argv = invocation(*words)
    env = {**os.environ, "TERM": "dumb"}
    return pexpect.spawn(argv[0], argv[1:], env=env, encoding="utf-8", timeout=30, dimensions=(50, 80))


def test_a_learner_takes_an_exercise_from_its_ticket_to_its_pass(invoke: Invoke, course: Path) -> None:
    begun = invoke("exercise.start", "1")
    assert begun.returncode == 0, begun.stderr
    assert begun.stderr.startswith("building exercise 1 ...\n")
    assert "exercise 1 of 3, clusterip: level 1 of 5, about 10 min\n" in begun.stdout
    broken = [invoke(*words) for words in (
        ("exercise.check",), ("exercise.progress",), ("exercise.list",), ("exercise.next",), ("lab.list",),
        ("lab.status",), ("lab.report", "--file", "-"), ("lab.graph",), ("exercise.reset",),
    )]  # fmt: skip
    told = [text.replace(str(course), "FOLDER") for done in (begun, *broken) for text in (done.stdout, done.stderr)]
    assert [text for text in told if EXERCISE in text] == []  # it says what is wrong
    assert max(map(len, begun.stdout.splitlines())) <= 100  # of a file; a terminal's width is heeded
    for said in ("curl: (28)", "└─ router", "you may touch:", "it is solved when:", "invoke lab.shell"):
        assert said in begun.stdout
    again = re.search(
        r"\n\nto ask it again \(([a-z-]+)\):\n  invoke lab\.curl (\S+) (svc/\S+) --count", broken[0].stdout
    )
    assert again
    assert f"✗  {again[1]} " in broken[0].stdout
    assert f" {again[2].partition('/')[2]} -> {again[3]}: shares: " in " ".join(broken[0].stdout.split())
    node, asker = broken_node(begun.stdout), re.search(r"client-[ab]", begun.stdout)
    address = re.search(r"http://([0-9.]+)/", begun.stdout)
    assert asker
    assert address
    with terminal("lab.shell") as shell:
        shell.expect_exact("exercise:")
        shell.sendline(f"ip netns exec {asker[0]} curl -sS -m 1 http://{address[1]}/")
        shell.expect("curl: \\(28\\)")  # the symptom is the ticket's
        shell.sendline("hairpin exercise.hint")
        shell.expect("hint 1 of 4")
        shell.expect("Just now hairpin, .* not\\.")
        shell.sendline(f"ip netns exec {node} sysctl -n net.ipv4.ip_forward")
        shell.expect_exact("\r\n0\r\n")
        shell.sendline(f"ip netns exec {node} sysctl -w net.ipv4.ip_forward=1")
        shell.sendline("hairpin exercise.check; echo status $?")
        shell.expect(f"solved: exercise 1, {EXERCISE}, in .*, 1 hint, 2 checks\r\n")
        shell.expect_exact("status 0")
        shell.sendline("exit")
        shell.expect(pexpect.EOF)
    done = record(EXERCISE)
    assert (done.state, done.attempts, done.hints, done.checks) == ("passed", 1, 1, 2)
    listed = invoke("exercise.list").stdout
    assert re.search(r"^> +1 .* passed +[\d.]+ s +1$", listed, re.MULTILINE)
    assert f"({EXERCISE})" in listed
    solution = invoke("exercise.solution")
    assert f"ip netns exec {node} sysctl -w net.ipv4.ip_forward=1" in solution.stdout
    assert record(EXERCISE).gave_up is False


def sysctl(invoke: Invoke, node: str, value: int) -> None:
    assert invoke("lab.exec", node, f"sysctl -qw net.ipv4.ip_forward={value}").returncode == 0


def test_watch_checks_when_something_has_changed_and_not_else(invoke: Invoke) -> None:
    node = broken_node(invoke("exercise.start", EXERCISE).stdout)
    with terminal("exercise.watch") as watch:
        watch.expect_exact(KEYS)
        watch.send("zn")
        watch.expect_exact("not solved yet")
        assert KEYS not in str(watch.before)  # for a key that means nothing, nothing is said
        watch.expect_exact(KEYS)
        watch.send("l")
        watch.expect("\n> +1 ")
        watch.expect_exact(KEYS)
        assert EXERCISE not in str(watch.before)
        sysctl(invoke, node, 1)
        watch.expect_exact("sysctls changed")
        watch.expect_exact("solved: ")
        watch.expect_exact("[n next  h hint  l list  r check now  x reset  q quit]")
        checks = attempt().checks
        assert checks == 2
        watch.send("q")
        watch.expect(pexpect.EOF)
    watch.close()
    assert watch.exitstatus == 0


def test_what_is_pressed_while_watch_checks_is_forgotten_but_for_q(invoke: Invoke) -> None:
    invoke("exercise.start", "quiz")
    with terminal("exercise.watch") as watch:
        watch.expect_exact(KEYS)
        watch.send("r")
        watch.expect_exact("checking ...")
        watch.send("hq")
        watch.expect(pexpect.EOF)
    assert "hint 1" not in watch.before
    watch.close()
    assert watch.exitstatus == 0


LFLAGS = termios.ICANON | termios.ECHO


@pytest.mark.parametrize("ending", ["q", "\x03", signal.SIGTERM, "the lab ends", "the lab ends amid a check"])
def test_whatever_ends_watch_the_terminal_is_as_before(invoke: Invoke, ending: Any) -> None:
    invoke("exercise.start", "quiz")
    with pexpect.spawn("sh", ["-i"], encoding="utf-8", timeout=30, env={**os.environ, "PS1": "$ "}) as shell:
        before = termios.tcgetattr(shell.child_fd)[3] & LFLAGS
        command = " ".join(invocation("exercise.watch"))
        shell.sendline(f"{command}; echo sta''tus $?")
        shell.expect_exact(KEYS)
        assert termios.tcgetattr(shell.child_fd)[3] & termios.ICANON == 0
        if str(ending).startswith("the lab ends"):
            if ending != "the lab ends":
                shell.send("r")
                shell.expect_exact("checking ...")
            invoke("lab.down")
            shell.expect_exact("its lab exercise does not stand any more")
            shell.expect_exact("invoke exercise.reset")  # the next step that exercise.check has
        elif isinstance(ending, str):
            shell.send(ending)
        else:
            os.kill(os.tcgetpgrp(shell.child_fd), ending)
        shell.expect(r"status \d+")
        assert termios.tcgetattr(shell.child_fd)[3] & LFLAGS == before


@pytest.mark.once
@pytest.mark.parametrize("task", ["check", "hint", "watch", "reset", "solution"])
def test_without_an_exercise_the_next_move_is_told(invoke: Invoke, task: str) -> None:
    done = invoke(f"exercise.{task}")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "error: no exercise was started\n"
        "  hint: start the first: invoke exercise.next; or choose: invoke exercise.list\n"
    )


@pytest.mark.once
def test_a_lab_that_was_torn_down_is_told_and_built_anew(invoke: Invoke) -> None:
    ticket = invoke("exercise.start", EXERCISE).stdout
    invoke("lab.down")
    for task in ("check", "hint", "watch"):
        done = invoke(f"exercise.{task}")
        assert done.returncode == 2
        assert "its lab exercise does not stand any more" in done.stderr
        assert "invoke exercise.reset" in done.stderr
    again = invoke("exercise")
    assert (again.returncode, again.stdout) == (0, ticket)  # the same seed: the same addresses


@pytest.mark.once
def test_another_lab_of_the_same_name_is_not_taken_for_it(invoke: Invoke) -> None:
    invoke("exercise.start", EXERCISE)
    invoke("lab.down")
    invoke("lab.up", "clusterip", "--lab", "exercise")
    done = invoke("exercise.check")
    assert done.returncode == 2
    assert "the lab exercise that stands is another one (clusterip)" in done.stderr
    assert invoke("exercise.reset").returncode == 0
    assert [record.source for record in state.standing()] == ["clusterip", "an exercise"]


@pytest.mark.once
def test_a_start_that_was_killed_amid_the_break_is_told_and_done_anew(invoke: Invoke, course: Path) -> None:
    script, fifo = course / "01-clusterip" / EXERCISE / "break.sh", course.parent / "fifo"
    os.mkfifo(fifo)
    whole = script.read_text()
    script.write_text(f"echo here >{fifo}\nexec sleep 100\n")
    with subprocess.Popen(invocation("exercise.start", EXERCISE), stdout=subprocess.DEVNULL) as process:
        assert fifo.read_text() == "here\n"
        process.kill()
    assert attempt().built is None
    for task in ("check", "hint"):
        done = invoke(f"exercise.{task}")
        assert done.returncode == 2
        assert "its lab was not finished" in done.stderr
        assert "invoke exercise.reset" in done.stderr
    script.write_text(whole)
    assert invoke("exercise").returncode == 0
    assert [record.source for record in state.standing()] == ["an exercise"]
    assert record(EXERCISE).attempts == 1


@pytest.mark.once
def test_an_unknown_exercise_is_told_with_the_nearest(invoke: Invoke) -> None:
    done = invoke("exercise.start", "ip-forwad-off")
    assert done.returncode == 2
    assert f"did you mean {EXERCISE}" in done.stderr
    assert "building" not in done.stderr


@pytest.mark.once
def test_a_damaged_progress_file_is_told_before_anything_is_built(invoke: Invoke, progress: Path) -> None:
    progress.write_text('{"records": 5')
    for words in (["exercise.start", EXERCISE], ["exercise"], ["exercise.list"]):
        done = invoke(*words)
        assert done.returncode == 2
        assert f"mv {progress} {progress}.damaged" in done.stderr
    assert state.standing() == ()


@pytest.mark.once
def test_reset_breaks_it_again(invoke: Invoke) -> None:
    node = broken_node(invoke("exercise.start", EXERCISE).stdout)
    sysctl(invoke, node, 1)
    assert invoke("exercise.reset").returncode == 0
    assert invoke("lab.exec", node, "sysctl -n net.ipv4.ip_forward").stdout == "0\n"
    assert len(state.standing()) == 1


@pytest.mark.once
def test_the_same_seed_gives_the_same_lab_and_another_another(invoke: Invoke) -> None:
    tickets = []
    for seed in ("1", "2", "1"):
        tickets.append(invoke("exercise.start", EXERCISE, "--seed", seed).stdout)
        assert attempt().seed == int(seed)
    assert tickets[0] == tickets[2] != tickets[1]
    assert len(state.standing()) == 1


@pytest.mark.once
def test_start_comes_back_to_what_is_under_way(invoke: Invoke) -> None:
    invoke("exercise.start", EXERCISE)
    before = attempt()
    done = invoke("exercise.start", EXERCISE)
    assert "under way already" in done.stderr
    assert attempt().built == before.built
    assert record(EXERCISE).attempts == 1


@pytest.mark.once
def test_next_wants_the_present_one_solved_unless_it_is_skipped(invoke: Invoke) -> None:
    assert invoke("exercise.next").returncode == 0
    first = attempt().exercise
    refused = invoke("exercise.next")
    assert refused.returncode == 2
    assert "invoke exercise.next --skip" in refused.stderr
    assert invoke("exercise.next", "--skip").returncode == 0
    assert attempt().exercise != first
    assert len(state.standing()) == 1


@pytest.mark.once
def test_the_solution_waits_for_the_pass_or_for_giving_up(invoke: Invoke) -> None:
    invoke("exercise.start", EXERCISE)
    refused = invoke("exercise.solution")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "--give-up" in refused.stderr
    assert "## The fix" in invoke("exercise.solution", "--give-up").stdout
    assert record(EXERCISE).state == "given up"


@pytest.mark.once
def test_hints_come_one_after_the_other_and_stay_counted(invoke: Invoke) -> None:
    invoke("exercise.start", "quiz")
    refused = invoke("exercise.hint", "--level", "3")
    assert refused.returncode == 2
    assert "--level 3: expected 1 to 1" in refused.stderr
    for level in (1, 2, 3, 4, 4):
        assert invoke("exercise.hint").stdout.startswith(f"hint {level} of 4")
    assert invoke("exercise.reset").returncode == 0
    assert attempt().hints == record("quiz").hints == 4


@pytest.mark.once
def test_an_exam_has_neither_hints_nor_solutions_and_ends(invoke: Invoke) -> None:
    begun = invoke("exercise.exam", "--count", "2", "--seed", "5")
    assert begun.returncode == 0, begun.stderr
    exam = file.read().exam
    assert exam is not None
    assert exam.items[0].exercise == attempt().exercise
    assert "exam, exercise 1 of 2" in begun.stdout
    assert "exercise.hint" not in begun.stdout
    other = ({EXERCISE, "quiz", "quiz-2"} - {item.exercise for item in exam.items}).pop()
    for words in (["hint"], ["solution", "--give-up"], ["start", other], ["exam"]):
        refused = invoke(f"exercise.{words[0]}", *words[1:])
        assert refused.returncode == 2, words
        assert "exam" in refused.stderr
    with terminal("exercise.watch") as watch:
        watch.expect_exact("[l list  r check now  x reset  q quit]")
    assert invoke("exercise.start", "2").returncode == 0
    assert attempt().exercise == exam.items[1].exercise
    assert invoke("exercise.exam", "--end").stdout.startswith("exam over: 0 of 2 exercises passed")
    assert len(json.loads(invoke("exercise.progress", "--json").stdout)["exams"]) == 1


@pytest.mark.once
def test_a_quiz_is_predicted_and_then_run(invoke: Invoke) -> None:
    begun = invoke("exercise.start", "quiz")
    assert "question hook:\nWhich hook?\n  1  input\n  2  forward" in begun.stdout
    early = invoke("exercise.check")
    assert (early.returncode, early.stdout.splitlines()[-1]) == (
        1, "predict first: hook; then a check makes the requests",
    )  # fmt: skip
    assert "Just now" not in invoke("exercise.hint").stdout
    for choice, said in (("forward", "noted: hook: forward"), ("1", "noted: hook: input")):
        noted = invoke("exercise.answer", "hook", choice)  # what is noted may be changed before it is run
        assert (noted.returncode, noted.stdout) == (0, f"{said}\nthen: invoke exercise.check\n")
    ran = invoke("exercise.check")
    assert ran.returncode == 1
    assert ran.stdout.startswith("$ invoke lab.trace client-a svc/web\n")
    assert "│  FORWARD" in ran.stdout
    assert "✗ hook: input\n" in ran.stdout
    assert "It is routed." not in ran.stdout
    wrong = invoke("exercise.answer", "hook", "1")
    assert (wrong.returncode, wrong.stdout) == (1, "no: look again: invoke lab.trace client-a svc/web\n")
    assert "It is routed." in invoke("exercise.answer", "hook", "forward").stdout
    assert "2 wrong answers" in invoke("exercise.check").stdout
    assert (record("quiz").state, record("quiz").wrong) == ("passed", 2)


@pytest.mark.once
def test_a_quiz_in_a_lab_that_was_changed_is_not_run_to_an_end(invoke: Invoke) -> None:
    invoke("exercise.start", "quiz")
    invoke("exercise.answer", "hook", "forward")
    assert invoke("lab.exec", "node-1", "iptables -P FORWARD DROP").returncode == 0
    refused = invoke("exercise.check")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "the lab was changed" in refused.stderr
    assert "invoke exercise.reset" in refused.stderr
    assert attempt().checks == 0
    assert invoke("exercise.reset").returncode == 0
    assert "1 check" in invoke("exercise.check").stdout


OURS = "predict-four-services"


def test_a_learner_predicts_and_sees_and_passes(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(courses.VARIABLE, str(ROOT / "exercises"))
    ticket = invoke("exercise.start", OURS).stdout
    node = re.search(r"which runs on (node-\d)", ticket.replace("\n", " "))
    assert node
    with terminal("lab.shell") as shell:
        shell.expect_exact("exercise:")
        shell.sendline(f"ip netns exec {node[1]} iptables-save | grep -c 'dport 80.* -j DROP'")
        shell.expect_exact("\r\n2\r\n")
        for question, choice in (("shop", 4), ("store", 4), ("mail", 2)):
            shell.sendline(f"hairpin exercise.answer {question} {choice}")
            shell.expect(f"noted: {question}: ")
        shell.expect_exact("to be predicted yet: wiki")
        shell.sendline("hairpin exercise.answer wiki 3")
        shell.expect_exact("then: invoke exercise.check")
        shell.sendline("hairpin exercise.check; echo status $?")
        shell.expect("arrived at shop-1")  # in the journey of what was wrong, and only there
        shell.expect_exact("✗ shop: silence")
        shell.expect(f"{node[1]} .*dropped it: rule 1")
        shell.expect_exact("✓ store: silence")
        shell.expect_exact("right: 3 of 4 predictions")
        shell.expect_exact("status 1")
        shell.sendline("hairpin exercise.answer shop 1")
        shell.expect_exact("The rule names the Service's address")
        shell.sendline("hairpin exercise.check; echo status $?")
        shell.expect(rf"solved: exercise \d+, {OURS}, in .*, 0 hints, 2 checks, 1\s+wrong\s+answer\r\n")
        shell.expect_exact("status 0")
        shell.sendline("exit")
        shell.expect(pexpect.EOF)
    record = file.read().record(OURS)
    assert (record.state, record.wrong) == ("passed", 1)


@pytest.mark.once
@pytest.mark.parametrize(("words", "said"), [
    (("where", "1"), "expected hook"), (("hook", "3"), "a number from 1 to 2"), (("hook", "output"), "from 1 to 2"),
])  # fmt: skip
def test_an_answer_that_cannot_be_is_not_counted(invoke: Invoke, words: tuple[str, str], said: str) -> None:
    invoke("exercise.start", "quiz")
    refused = invoke("exercise.answer", *words)
    assert refused.returncode == 2
    assert said in refused.stderr
    assert attempt().wrong == 0


@pytest.mark.once
def test_results_go_from_a_learner_to_a_teacher(invoke: Invoke, tmp_path: Path) -> None:
    invoke("exercise.start", EXERCISE)
    own = str(tmp_path / "ann.json")
    assert invoke("exercise.export", "--name", "ann", "--file", own).returncode == 0
    assert re.search(r"^ann +0 of \d+", invoke("exercise.report", "--file", own).stdout, re.MULTILINE)
    assert f"\nann,{EXERCISE},clusterip," in invoke("exercise.report", "--file", own, "--csv").stdout
    assert invoke("exercise.report").returncode == 2


@pytest.mark.once
def test_mistakes_of_other_exercises_keep_nobody_from_this_one(invoke: Invoke, course: Path) -> None:
    (course / "02-quizzes" / "quiz" / "ticket.md").unlink()
    assert invoke("exercise.start", EXERCISE).returncode == 0
    assert invoke("exercise.next", "--skip").returncode == 0
    assert attempt().exercise == "quiz-2"


@pytest.mark.once
def test_another_folder_stays_the_present_ones(invoke: Invoke, course: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(courses.VARIABLE)
    monkeypatch.chdir(course.parent)
    assert "Where is it dropped?" in invoke("exercise.list", "--folder", "course").stdout
    assert "Where is it dropped?" not in invoke("exercise.list").stdout
    assert invoke("exercise.start", "quiz", "--folder", "course").returncode == 0
    monkeypatch.chdir("/")
    assert invoke("exercise.hint").stdout.startswith("hint 1 of 4")
    assert "exercise 2 of 3" in invoke("exercise").stdout
    invoke("exercise.answer", "hook", "forward")
    assert invoke("exercise.check").returncode == 0
    assert invoke("exercise.next").returncode == 0
    assert (attempt().exercise, attempt().folder) == ("quiz-2", str(course))
