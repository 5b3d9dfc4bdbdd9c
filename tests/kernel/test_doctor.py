"""The doctor on this very machine, as the user who runs the tests."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from lab.errors import KernelError
from lab.kernel import doctor, scratch, trials


def refuse() -> str:
    raise KernelError("this kernel has none")


def in_scratch() -> str:
    """Say which links there are, and who is PID 1."""
    links = ",".join(sorted(os.listdir("/sys/class/net")))
    return f"{links} {os.getpid()}"


def look_at_the_machine() -> dict[str, str]:
    files = ("/proc/self/mountinfo", "/proc/net/dev_snmp6", "/proc/modules", "/proc/sys/net/ipv4/ip_forward")
    texts = {file: Path(file).read_text(encoding="utf-8") for file in files if Path(file).is_file()}
    return texts | {
        "namespaces": str(sorted(os.readlink(f"/proc/self/ns/{name}") for name in os.listdir("/proc/self/ns"))),
        "links": str(sorted(os.listdir("/sys/class/net"))),
        "locks": str(sorted(name for name in os.listdir("/run") if "xtables" in name)),
        "path": os.environ.get("PATH", ""),
    }


def test_every_requirement_of_a_lab_is_met_on_the_machine_that_tests_labs() -> None:
    lacking = [
        (check["name"], check["observed"])
        for check in doctor.examine()
        if check["required"] and check["status"] != "ok"
    ]
    assert lacking == []


def test_an_examination_covers_every_feature_and_tool_within_half_a_second_or_so() -> None:
    start = time.monotonic()
    names = [check["name"] for check in doctor.examine()]
    took_s = time.monotonic() - start
    assert {feature.name for feature in trials.FEATURES} | set(doctor.TOOLS) | {"kernel", "memory"} <= set(names)
    assert len(names) == len(set(names))
    assert took_s < 2  # 0.2 s on an idle machine; the tests share theirs


def test_what_is_not_right_comes_with_its_mend() -> None:
    for check in doctor.examine():
        assert bool(check["mend"]) == (check["status"] != "ok"), check
        assert check["observed"], check
        assert check["needed_for"], check


def test_an_examination_leaves_the_machine_as_it_was() -> None:
    before = look_at_the_machine()
    doctor.examine()
    assert look_at_the_machine() == before


def test_trials_run_in_namespaces_of_their_own_and_one_refusal_does_not_stop_the_next() -> None:
    outcomes = scratch.attempt({"links": in_scratch, "refused": refuse, "after": in_scratch})
    assert outcomes["links"].text.split() == ["lo", "1"]
    assert outcomes["refused"] == scratch.Outcome(worked=False, text="this kernel has none")
    assert outcomes["after"] == outcomes["links"]
    assert (scratch.USER in outcomes) == (os.geteuid() != 0)


def test_nothing_is_tried_where_the_namespaces_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused() -> str:
        raise OSError(1, "Operation not permitted", "mount /")

    monkeypatch.setattr(scratch, "_use_capabilities", refused)
    outcomes = scratch.attempt({"links": in_scratch})
    assert outcomes[scratch.CAPABILITIES] == scratch.Outcome(worked=False, text="mount /: Operation not permitted")
    assert "links" not in outcomes


@pytest.mark.root
def test_root_can_try_as_another_user() -> None:
    outcomes = scratch.attempt({"who": lambda: str(os.geteuid())}, uid=doctor.NOBODY)
    assert outcomes[scratch.USER].worked
    assert outcomes["who"].text == str(doctor.NOBODY)
