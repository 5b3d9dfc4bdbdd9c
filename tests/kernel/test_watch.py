"""What happens on the nodes of a lab, told as it happens: flows that begin, change and end, and what was lost."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import socket
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from lab.ask import traffic
from lab.kernel import command, conntrack, flow_events, netns, rule_events, trace_events
from lab.kernel import trace as recorder
from lab.model.trace import OWN_TABLE
from lab.packets import watch
from lab.parse import trace
from lab.standing import observe, session
from lab.standing.session import Standing

from .conftest import Invoke, invocation, lab_of_module

Lab = Callable[..., Invoke]
Inside = Callable[..., Any]
DEADLINE_S = 20


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Invoke]:
    """Give tasks on a lab that several tests watch."""
    with lab_of_module(tmp_path_factory, "clusterip") as run:
        counting = run("lab.exec", "node-1", "sysctl -w net.netfilter.nf_conntrack_acct=1")
        assert counting.returncode == 0, counting.stderr
        yield run


@contextmanager
def watching(*words: str, apart: bool = False) -> Iterator[subprocess.Popen[bytes]]:
    """Give a `lab.watch` that has begun; `apart`: in a process group of its own."""
    argv, group = invocation("lab.watch", *words), 0 if apart else None
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0, process_group=group
    ) as process:
        assert process.stderr is not None
        try:
            assert select.select([process.stderr], [], [], DEADLINE_S)[0], "it did not begin"
            assert process.stderr.readline().startswith(b"watching ")
            yield process
        finally:
            process.kill()


def lines(process: subprocess.Popen[bytes], until: Callable[[str], object]) -> list[str]:
    """Return what it prints while it runs, up to the first line that `until` finds."""
    assert process.stdout is not None
    found: list[str] = []
    while not found or not until(found[-1]):
        assert select.select([process.stdout], [], [], DEADLINE_S)[0], found
        raw = process.stdout.readline()
        assert raw, found
        found.append(raw.decode())
    return found


def ended(process: subprocess.Popen[bytes], number: int | None = None) -> tuple[str, str]:
    """Return what a watch printed, after a signal if it does not end by itself; it succeeds."""
    if number is not None:
        process.send_signal(number)
    out, said = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, said
    return out.decode(), said.decode()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_whole_group_ends_a_watch_as_one_to_it_alone(standing: Invoke, number: int) -> None:
    del standing
    with watching("--node", "node-1", apart=True) as process:
        os.killpg(process.pid, number)
        assert ended(process) == ("", "saw 0 events\n")


def plain(line: str) -> str:
    """Return a line without its time, and what chance decides by a word: the client's port, the endpoint."""
    line = re.sub(r"(?<=client-a 10\.244\.1\.3:)\d+", "PORT", line)
    line = re.sub(r"web-(\d) 10\.244\.\1\.2", "web-N ADDRESS", line)
    return " ".join(re.sub(r"^\d\d:\d\d:\d\d\.\d{6} ", "", line).split())


def forget(lab: Standing, node: str, of: str) -> int:
    """Delete the flows of a protocol from a node's table, and return how many there were."""
    number = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP}[of]

    def delete() -> int:
        with netns.inside(node):
            keys: list[conntrack.Key] = [
                {"protocol": one["protocol"], "original": one["original"], "zone": one["zone"], "id": one["id"]}
                for one in conntrack.dump()
                if one["protocol"] == number
            ]
            return conntrack.delete(keys)

    return lab.call(delete)


ASKS = "tcp client-a 10.244.1.3:PORT -> svc/web 10.96.0.10:80"


def test_a_connections_begin_changes_and_end_are_told_while_it_runs(standing: Invoke) -> None:
    lab = session.attach()
    forget(lab, "node-1", "tcp")
    with watching("--node", "node-1") as process:
        assert standing("lab.curl", "client-a", "svc/web").returncode == 0
        begun = [plain(line) for line in lines(process, lambda line: "TIME_WAIT" in line)]
        assert forget(lab, "node-1", "tcp") == 1
        (gone,) = lines(process, lambda _: True)
        out, said = ended(process, signal.SIGINT)
    assert f"node-1 NEW {ASKS}, to web-N ADDRESS:8080" in begun
    assert f"node-1 UPDATE {ASKS}, SYN_RECV, answered" in begun
    assert f"node-1 UPDATE {ASKS}, ESTABLISHED, assured" in begun
    assert re.fullmatch(rf"node-1 DESTROY {re.escape(ASKS)}, \d+ packets \d+ bytes sent", plain(gone))
    assert (out, said) == ("", f"saw {len(begun) + 1} events\n")


IPTABLES = r"KUBE-SERVICES > KUBE-SVC-\w+ > KUBE-MARK-MASQ: mark 0x4000; KUBE-SEP-\w+: dnat; KUBE-POSTROUTING"
NFTABLES = r"services: mark 0x4000; service-\w+-default/\w+/tcp/http: dnat; masquerading"


@pytest.mark.parametrize(
    ("options", "chains"),
    [((), IPTABLES), (("--iptables", "legacy"), IPTABLES), (("--mode", "nftables"), NFTABLES)],
    ids=["iptables", "legacy", "nftables"],
)
def test_what_rules_did_is_told_before_the_flow_that_came_of_it(lab: Lab, options: Sequence[str], chains: str) -> None:
    invoke = lab("dual-stack", *options)
    with watching("--node", "node-1") as process:
        for service in ("web", "six"):  # IPv4, IPv6
            assert invoke("lab.curl", "node-1", f"svc/{service}").returncode == 0
            rules, new = lines(process, lambda line: " NEW " in line)[-2:]
            ends = rf"tcp node-1 \S+ -> svc/{service} \S+:80"
            found = re.search(rf" RULES   ({ends}), default/{service}:http: {chains}: mark 0x0, masquerade\n", rules)
            assert found, rules
            assert re.search(rf" NEW     {re.escape(found[1])}, to web-\d \S+:8080, from node-1", new)


def test_what_rules_refuse_or_drop_is_told_and_what_rules_do_that_come_meanwhile(lab: Lab) -> None:
    invoke = lab("no-endpoints")

    def end(process: subprocess.Popen[bytes]) -> dict[str, Any]:
        assert invoke("lab.curl", "client-a", "svc/empty:80", "--timeout", "0.2").returncode == 1
        return dict(json.loads(lines(process, lambda line: '"end"' in line)[-1]))

    with watching("--json") as process:
        refused = end(process)
        drop = "iptables -I FORWARD -p tcp --dport 80 -m comment --comment 'not today' -j DROP"
        assert invoke("lab.exec", "node-1", drop).returncode == 0
        dropped = end(process)
    assert (refused["end"], refused["service"], refused["original"]["dst_name"]) == (
        "reject",
        "default/empty:http",
        "svc/empty",
    )
    assert refused["hits"][-1]["comment"] == "default/empty:http has no endpoints"
    (hit,) = dropped["hits"]
    assert (dropped["type"], dropped["end"], hit["path"], hit["number"]) == ("rules", "drop", ["FORWARD"], 1)
    assert (hit["comment"], hit["rule"].endswith("-j DROP"), hit["handle"] > 0) == ("not today", True, True)


def test_conntracks_events_may_be_watched_alone(standing: Invoke) -> None:
    lab = session.attach()
    before = [tables for _, tables, _ in left(lab)]
    with watching("--no-rules", "--count", "1") as process:
        assert [tables for _, tables, _ in left(lab)] == before
        assert standing("lab.curl", "client-a", "svc/web").returncode == 0
        assert " NEW " in ended(process)[0]


def test_a_trace_may_go_on_meanwhile_and_neither_sees_the_other(standing: Invoke) -> None:
    with watching("--node", "node-1") as process:
        traced = standing("lab.trace", "client-a", "svc/web", "--all")
        assert (traced.returncode, "hairpin" in traced.stdout) == (0, False)
        rules, new = lines(process, lambda line: " NEW " in line)
    assert " RULES " in rules
    assert "hairpin" not in rules + new


def test_of_iptables_legacy_there_is_one_listener_and_who_comes_second_is_told(lab: Lab) -> None:
    invoke = lab("clusterip", "--iptables", "legacy")
    with watching():
        done = invoke("lab.watch")
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("error: in node-1: listening to iptables-legacy's TRACE: ")
        assert "one listener alone: end the other lab.watch or lab.trace" in done.stderr
        with watching("--no-rules", "--count", "1") as process:
            assert invoke("lab.curl", "client-a", "svc/web").returncode == 0
            assert " NEW " in ended(process)[0]


def test_udp_is_told_alike_and_one_node_is_enough(standing: Invoke) -> None:
    lab = session.attach()
    forget(lab, "node-1", "udp")
    alone = ("--json", "--no-rules")  # of iptables-legacy's there is one listener
    with watching(*alone) as every, watching(*alone, "--node", "node-2") as other:
        assert standing("lab.curl", "client-a", "pod/web-2", "--udp").returncode == 0
        wanted = {(node, kind) for node in ("node-1", "node-2") for kind in ("new", "update")}
        while wanted:  # nodes have no order among them
            wanted -= {_place(lines(every, lambda _: True)[0])}
        told = [json.loads(line) for line in lines(other, lambda line: '"answered"' in line)]
    assert [(one["node"], one["type"]) for one in told] == [("node-2", "new"), ("node-2", "update")]
    new = told[0]
    assert (new["apiVersion"], new["kind"]) == ("hairpin/v1alpha1", "Event")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", new["time"])
    flow = new["flow"]
    assert (flow["protocol"], flow["state"], flow["packets"]) == ("udp", "unanswered", None)
    ends = flow["original"]
    assert (ends["src_name"], ends["dst_name"], ends["dport"]) == ("client-a", "web-2", 5353)


def _place(line: str) -> tuple[str, str]:
    one = json.loads(line)
    return one["node"], one["type"]


def test_it_ends_when_there_is_enough(standing: Invoke) -> None:
    with watching("--count", "2") as process:
        assert standing("lab.curl", "client-a", "svc/web").returncode == 0
        out, said = ended(process)
    assert len(out.splitlines()) == 2
    assert said == "saw 2 events\n"


@pytest.mark.usefixtures("standing")
def test_it_ends_in_time() -> None:
    with watching("--node", "node-2", "--seconds", "0.01") as process:
        assert ended(process)[1] == "saw 0 events\n"


@pytest.mark.usefixtures("standing")
def test_it_ends_when_its_reader_has_seen_enough() -> None:
    with watching() as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(DEADLINE_S) == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--node", "node-9"), "there is no node 'node-9'"),
        (("--node", "web-1"), "there is no node 'web-1'"),
        (("--count", "-1"), "--count -1: expected 0, for all, or how many events"),
        (("--count", "x"), "--count 'x': expected a whole number"),
        (("--seconds", "inf"), "--seconds inf: expected 0, for no end, or how long"),
    ],
)
def test_what_makes_no_sense_is_told(standing: Invoke, words: Sequence[str], message: str) -> None:
    done = standing("lab.watch", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {message}")


def test_killed_it_leaves_nothing_behind(standing: Invoke) -> None:
    lab = session.attach()
    before = left(lab)
    with watching() as process:
        assert left(lab) != before
        watcher = os.pidfd_open(int(children(process.pid)[0]))
        process.kill()
        assert select.select([watcher], [], [], DEADLINE_S)[0]
        os.close(watcher)
        assert standing("lab.curl", "client-a", "svc/web").returncode == 0
    assert left(lab) == before


def children(pid: int) -> list[str]:
    return command.check(["ps", "-o", "pid=", "--ppid", str(pid)]).split()


def left(lab: Standing) -> list[tuple[str, str, int]]:
    """Return what nodes have of a watch: tables, and sockets that listen to netfilter (groups are a mask)."""

    def look() -> list[tuple[str, str, int]]:
        found = []
        for node in ("node-1", "node-2"):
            tables = command.check(["nft", "list", "tables"], netns=node)
            sockets = command.check(["cat", "/proc/net/netlink"], netns=node)
            listening = sum(line.split()[1] == "12" and line.split()[3] != "00000000" for line in sockets.splitlines())
            found.append((node, tables, listening))
        return found

    return lab.call(look)


def test_it_ends_with_the_lab_and_says_so(lab: Lab) -> None:
    invoke = lab("hairpin")
    with watching() as process:
        assert invoke("lab.down").returncode == 0
        assert ended(process) == ("", "saw 0 events; the lab has ended\n")


def test_who_comes_later_has_a_name(lab: Lab) -> None:
    invoke = lab("clusterip")
    with watching("--json") as process:
        assert invoke("lab.scale", "web", "3").returncode == 0
        assert invoke("lab.curl", "client-a", "pod/web-3:8080").returncode == 0
        lines(process, lambda line: '"dst_name": "web-3"' in line)


@pytest.mark.usefixtures("standing")
def test_what_is_lost_of_flows_and_of_rules_is_told_and_counted(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(recorder, "BUFFER_BYTES", 1)  # as little as the kernel lets it be
    monkeypatch.setattr(flow_events, "listen", partial(flow_events.listen, buffer_bytes=1))
    lab = session.attach()
    request, _ = observe.request(lab.cluster, "client-a", "svc/web", port=None, protocol="tcp")
    begun = watch.start(lab, ["node-1"], look=None)
    lab.call(partial(traffic.requests, [request] * 300, concurrency=300))
    summary = begun.stop()
    told = [json.loads(line) for line in capfd.readouterr().out.splitlines() if line.startswith("{")]
    lost = Counter[str]()
    for one in told:
        if one["type"] == "lost":
            lost[one["what"]] += one["number"]
    assert set(lost) == {"conntrack", "rules"}
    assert summary.lost == lost.total()


# --- the sockets themselves ------------------------------------------------------------------------------------------


def flood(number: int) -> tuple[int, int, int]:
    """Begin so many flows while nobody reads; return how many came, were lost, and are left."""
    command.check(["ip", "link", "set", "lo", "up"], netns="")
    turned_on = "add table t; add chain t c { type filter hook output priority 0 ; }; add rule t c ct state new"
    command.check(["nft", turned_on], netns="")
    with (
        flow_events.listen([""], buffer_bytes=16_384) as events,
        netns.inside(""),
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end,
    ):
        for port in range(1, number + 1):
            end.sendto(b"?", ("127.0.0.1", port))
        assert select.select([events], [], [], DEADLINE_S)[0]
        came = flow_events.read(events)
        new = sum(one.kind == "new" for one in came)
        lost = events.lost().get("", 0)
        end.sendto(b"?", ("127.0.0.1", number + 1))
        return new, lost, sum(one.kind == "new" for one in flow_events.read(events))


def test_what_the_kernel_had_no_room_for_is_counted(inside: Inside) -> None:
    came, lost, later = inside(partial(flood, 200))
    assert came > 0
    assert came + lost == 200
    assert later == 1  # it goes on


def asked_twice() -> list[str]:
    """Send two datagrams that nobody answers by one socket; return what the kernel told of a rule of ours for each."""
    command.check(["ip", "link", "set", "lo", "up"], netns="")
    chain = "add table ip t; add chain ip t c { type filter hook output priority 0 ; }"
    command.check(["nft", f"{chain}; add rule ip t c udp dport 9 counter"], netns="")
    with (
        rule_events.listening([""], OWN_TABLE, legacy=False) as (events, _),
        netns.inside(""),
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end,
    ):
        for _ in range(2):
            end.sendto(b"?", ("127.0.0.1", 9))
        told = list(trace.events(trace_events.cut(events.read()), {}, own_table=""))
    return [f"{one.table} {one.chain} {one.verdict}" for one in told if one.kind == "rule"]


def test_rules_are_told_of_a_connections_first_packet_alone(inside: Inside) -> None:
    assert inside(asked_twice) == ["t c continue"]
