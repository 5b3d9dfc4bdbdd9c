"""A rule set that is too large for one transaction is cut so that no packet meets half a Service."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.errors import KernelError
from lab.kernel import command, rules
from lab.kernel.command import Command, Done

BOTH: tuple[rules.Family, rules.Family] = ("ipv4", "ipv6")


def restore_text(services: int, endpoints: int) -> str:
    lines = [
        "*filter",
        ":KUBE-FORWARD - [0:0]",
        "-A FORWARD -j KUBE-FORWARD",
        "COMMIT",
        "*nat",
        ":KUBE-SERVICES - [0:0]",
    ]
    rows = ["-A PREROUTING -j KUBE-SERVICES"]
    for number in range(services):
        lines.append(f":KUBE-SVC-{number} - [0:0]")
        rows.append(f"-A KUBE-SERVICES -d 10.96.0.{number} -j KUBE-SVC-{number}")
        for each in range(endpoints):
            lines.append(f":KUBE-SEP-{number}-{each} - [0:0]")
            rows.append(f"-A KUBE-SVC-{number} -j KUBE-SEP-{number}-{each}")
            rows.append(f"-A KUBE-SEP-{number}-{each} -j DNAT --to-destination 10.244.0.{each}")
    return "\n".join([*lines, *rows, "COMMIT"]) + "\n"


def appended(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("-A")]


@given(services=st.integers(1, 6), endpoints=st.integers(0, 9), size=st.integers(1, 40))
def test_the_parts_together_are_the_whole_and_none_is_too_large(services: int, endpoints: int, size: int) -> None:
    text = restore_text(services, endpoints)
    parts = list(rules.parts(text, rules=size))
    whole = [line for part in parts for line in part.splitlines()]
    assert sorted(line for line in whole if line[0] in ":-") == sorted(
        line for line in text.splitlines() if line[0] in ":-"
    )
    assert all(len(part.splitlines()) <= size + 2 for part in parts)
    assert all(re.fullmatch(r"\*\w+\n(.*\n)*COMMIT\n", part) for part in parts)


@given(services=st.integers(1, 6), endpoints=st.integers(0, 9), size=st.integers(1, 40))
def test_nothing_jumps_to_a_chain_before_it_is_full(services: int, endpoints: int, size: int) -> None:
    whole = [line for part in rules.parts(restore_text(services, endpoints), rules=size) for line in part.splitlines()]
    last = {line.split()[1]: number for number, line in enumerate(whole) if line.startswith("-A")}
    for number, line in enumerate(whole):
        if line.startswith("-A"):
            target = line.split(" -j ")[1].split()[0]
            assert last.get(target, -1) < number


@given(services=st.integers(1, 6), endpoints=st.integers(0, 9), size=st.integers(1, 40))
def test_a_chain_s_rules_keep_their_order(services: int, endpoints: int, size: int) -> None:
    text = restore_text(services, endpoints)
    whole = "".join(rules.parts(text, rules=size))
    for chain in {line.split()[1] for line in appended(text)}:
        mine = [line for line in appended(text) if line.split()[1] == chain]
        assert [line for line in appended(whole) if line.split()[1] == chain] == mine


def test_comments_and_counters_of_saved_rules_are_understood() -> None:
    text = "# saved\n*nat\n:KUBE-SVC - [0:0]\n[3:180] -A KUBE-SVC -j RETURN\nCOMMIT\n# end\n"
    assert list(rules.parts(text)) == ["*nat\n:KUBE-SVC - [0:0]\n[3:180] -A KUBE-SVC -j RETURN\nCOMMIT\n"]


def test_chains_that_jump_in_a_circle_are_all_kept() -> None:
    text = "*nat\n:A - [0:0]\n:B - [0:0]\n-A A -j B\n-A B -j A\nCOMMIT\n"
    assert sorted(appended("".join(rules.parts(text)))) == ["-A A -j B", "-A B -j A"]


def test_only_tables_that_are_too_long_are_done_again_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    large, small = restore_text(6, 9), restore_text(1, 1)
    refused = f"iptables-nft-restore: line {large.count(chr(10))} failed: Message too long.\n"
    # Each table is a transaction: those before the refused one are loaded already, and would stand twice.
    rest = large[large.index("*nat") :]
    ran: list[Command] = []

    def run_all(commands: Sequence[Command], timeout_s: float) -> list[Done]:
        assert timeout_s > 0
        ran.extend(commands)
        return [
            Done(
                command=each, status=int(each.stdin == large), stdout="", stderr=refused if each.stdin == large else ""
            )
            for each in commands
        ]

    monkeypatch.setattr(command, "run_all", run_all)
    rules.restore(
        [rules.Load(netns=n, tool="iptables-nft", family="ipv4", text=t) for n, t in (("a", large), ("b", small))]
    )
    assert [(each.netns, each.stdin) for each in ran[:2]] == [("a", large), ("b", small)]
    assert [(each.netns, each.stdin) for each in ran[2:]] == [("a", part) for part in rules.parts(rest)]


def test_what_is_refused_is_told_with_the_line_that_the_program_names(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "*nat\n-A NOWHERE -j ACCEPT\nCOMMIT\n"

    def run_all(commands: Sequence[Command], timeout_s: float) -> list[Done]:
        assert timeout_s > 0
        return [Done(command=each, status=2, stdout="", stderr="failed\nError at line: 2\n") for each in commands]

    monkeypatch.setattr(command, "run_all", run_all)
    with pytest.raises(KernelError) as caught:
        rules.restore([rules.Load(netns="node-1", tool="iptables-legacy", family="ipv4", text=text)])
    assert caught.value.message == (
        "in node-1: iptables-legacy-restore --wait 5 --noflush --counters: exit 2: failed\nError at line: 2\n"
        "line 2: -A NOWHERE -j ACCEPT"
    )


def nft_table(chains: int) -> str:
    blocks = "".join(f"\tchain service-{number} {{\n\t\tdrop\n\t}}\n" for number in range(chains))
    return f"table ip kube-proxy {{\n{blocks}}}\n"


def nft_with_room_for(letters: int, ran: list[str]) -> Callable[..., list[Done]]:
    """Return a `run_all` of an nft whose transactions hold so many letters."""

    def run_all(commands: Sequence[Command], timeout_s: float) -> list[Done]:
        assert timeout_s > 0
        assert {each.argv for each in commands} == {("nft", "-f", "-")}
        ends = []
        for each in commands:
            fits = len(each.stdin) <= letters
            if fits:
                ran.append(each.stdin)
            said = "" if fits else "netlink: Error: Could not process rule: Message too long\n"
            ends.append(Done(command=each, status=int(not fits), stdout="", stderr=said))
        return ends

    return run_all


def test_a_table_that_fits_is_one_transaction_of_nft(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []
    monkeypatch.setattr(command, "run_all", nft_with_room_for(100_000, ran))
    rules.restore([rules.Load(netns="a", tool="nft", family="ipv4", text=nft_table(100))])
    assert ran == [nft_table(100)]


def test_a_table_that_does_not_fit_is_cut_until_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []
    monkeypatch.setattr(command, "run_all", nft_with_room_for(1000, ran))
    rules.restore([rules.Load(netns="a", tool="nft", family="ipv4", text=nft_table(100))])
    assert len(ran) > 3
    assert re.findall(r"service-\d+", "".join(ran)) == [f"service-{number}" for number in range(100)]


def test_a_long_table_is_never_one_transaction(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []
    monkeypatch.setattr(command, "run_all", nft_with_room_for(10_000_000, ran))
    rules.restore([rules.Load(netns="a", tool="nft", family="ipv4", text=nft_table(20_000))])
    assert 2 <= len(ran) <= 5


def test_what_cannot_be_cut_is_refused_with_the_limit_s_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "run_all", nft_with_room_for(10, []))
    one = "table ip kube-proxy {\n\tset a {\n\t\ttype ipv4_addr\n\t\telements = {\n\t\t\t10.0.0.1\n\t\t}\n\t}\n}\n"
    for text in (nft_table(1), one):
        with pytest.raises(KernelError, match=r"in a: nft -f -: exit 1: .*Message too long") as caught:
            rules.restore([rules.Load(netns="a", tool="nft", family="ipv4", text=text)])
        assert "net.core.wmem_default" in caught.value.hint


def test_a_counter_s_name_that_the_kernel_would_cut_is_refused() -> None:
    with pytest.raises(ValueError, match="longer than an nfacct name may be"):
        rules._counter("x" * 32)


def test_legacy_iptables_has_a_lock_for_each_namespace_however_long_its_name() -> None:
    names = ["n" * 253, "n" * 252 + "m"]
    loads = [
        rules.Load(netns=name, tool="iptables-legacy", family=family, text="") for name in names for family in BOTH
    ]
    locks = {rules._command(load, "").env["XTABLES_LOCKFILE"] for load in loads}
    assert len(locks) == 4
    assert max(len(lock.rpartition("/")[2]) for lock in locks) <= 255


CHANGE = """\
*nat
:KUBE-SVC-NEW - [0:0]
:KUBE-SEP-NEW - [0:0]
:KUBE-SVC-OLD - [0:0]
:KUBE-SEP-OLD - [0:0]
-A KUBE-SVC-NEW -j KUBE-SEP-NEW
-A KUBE-SEP-NEW -j DNAT --to-destination 10.244.1.2:80
-D KUBE-SERVICES -d 10.96.0.9/32 -j KUBE-SVC-OLD
-I KUBE-SERVICES 1 -d 10.96.0.10/32 -j KUBE-SVC-NEW
-X KUBE-SVC-OLD
-X KUBE-SEP-OLD
COMMIT
"""


def test_a_chain_is_emptied_and_deleted_only_when_nothing_jumps_there_any_more() -> None:
    lines = [line for part in rules.parts(CHANGE, rules=2) for line in part.splitlines()]
    gone = lines.index("-D KUBE-SERVICES -d 10.96.0.9/32 -j KUBE-SVC-OLD")
    assert gone < lines.index(":KUBE-SVC-OLD - [0:0]") < lines.index("-X KUBE-SVC-OLD")
    assert lines.index("-A KUBE-SVC-NEW -j KUBE-SEP-NEW") < lines.index(
        "-I KUBE-SERVICES 1 -d 10.96.0.10/32 -j KUBE-SVC-NEW"
    )
    assert sorted(line for line in lines if line not in ("*nat", "COMMIT")) == sorted(CHANGE.splitlines()[1:-1])


def test_a_chain_that_fits_into_a_part_is_not_cut() -> None:
    for part in rules.parts(CHANGE, rules=3):
        for chain in ("KUBE-SVC-NEW", "KUBE-SEP-NEW"):
            assert (f":{chain} " in part) == (f"-A {chain} " in part)


def long_text() -> str:
    return "".join(f"*{table}\n-A OUTPUT -j ACCEPT\nCOMMIT\n" for table in ("mangle", "filter", "nat")) + "#" * (
        1 << 18
    )


@pytest.mark.parametrize(
    ("tool", "text", "anew", "zeroed"),
    [
        ("iptables-nft", long_text(), True, 3),
        ("iptables-nft", long_text(), False, 0),
        ("iptables-nft", "*nat\nCOMMIT\n", True, 0),
        ("iptables-legacy", long_text(), True, 0),
    ],
)
def test_a_long_text_spares_iptables_nft_its_list_of_chains(
    monkeypatch: pytest.MonkeyPatch, tool: rules.Tool, text: str, *, anew: bool, zeroed: int
) -> None:
    given: list[str] = []

    def run_all(commands: Sequence[Command], **_: object) -> list[Done]:
        given.extend(command.stdin for command in commands)
        return [Done(command=command, status=0, stdout="", stderr="") for command in commands]

    monkeypatch.setattr(command, "run_all", run_all)
    rules.restore([rules.Load(netns="", tool=tool, family="ipv4", text=text, anew=anew)])
    assert given[0].count("\n-Z\n") == zeroed
    assert given[0].replace("-Z\n", "") == text
    assert "-Z" not in "".join(rules.parts(given[0]))
