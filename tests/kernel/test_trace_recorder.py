"""The process that records a trace: it counts what it could not keep, keeps little of each packet, and never stays."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from unittest import mock

import pytest

from lab.ask import traffic
from lab.kernel import join, netns, nf_tables, tap
from lab.kernel import trace as door
from lab.kernel.fork import fork
from lab.model.request import Request
from lab.model.trace import OWN_TABLE
from lab.packets import trace, tracing
from lab.standing import observe, session

from .conftest import Invoke, lab_of_module

TABLE = f"{OWN_TABLE}-test"
DEADLINE_S = 20
MANY = 100


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[session.Standing]:
    """Give a lab of the topology `clusterip`."""
    with lab_of_module(tmp_path_factory, "clusterip"):
        yield session.attach()


def asked(standing: session.Standing, path: str = "/") -> Request:
    return observe.request(standing.cluster, "client-a", f"http://10.96.0.10{path}", port=None, protocol="tcp")[0]


@contextmanager
def recording(standing: session.Standing, request: Request) -> Iterator[tuple[door.Recorder, int]]:
    """Inside the capsule: tap client-a and watch node-1; gives the recorder, and its process's id."""
    watches = {"node-1": tracing.Before(trace.job(standing.cluster, request)).rules.watches["node-1"]}
    forked: list[int] = []

    def noting() -> int:
        forked.append(fork())
        return forked[-1]

    with mock.patch.object(door, "fork", noting), door.recording(("client-a",), watches, TABLE) as recorder:
        yield recorder, forked[0]


def recorded(standing: session.Standing, request: Request, number: int = 1, *, stopped: bool = False) -> door.Recording:
    """Make a request so often; `stopped`: the recorder reads nothing meanwhile, as if others had the processors."""

    def work() -> door.Recording:
        with recording(standing, request) as (recorder, process):
            if stopped:
                os.kill(process, signal.SIGSTOP)
            traffic.requests([request] * number)
            os.kill(process, signal.SIGCONT)
            recorder.stop()
            return recorder.result()

    return standing.call(work)


def test_what_the_kernel_had_no_room_for_is_counted(
    standing: session.Standing, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert recorded(standing, asked(standing)).lost == {}
    monkeypatch.setattr(door, "BUFFER_BYTES", 1)  # as little as the kernel lets it be
    monkeypatch.setattr(tap, "_BUFFER_BYTES", 1)
    found = recorded(standing, asked(standing), MANY, stopped=True)
    assert found.frames
    assert found.datagrams
    assert found.lost["client-a"] > MANY - len(found.frames)  # by the tap
    assert found.lost["node-1"] > MANY - len(found.datagrams)  # events of rules


def test_what_is_beyond_the_limit_is_counted_and_not_kept(
    standing: session.Standing, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = recorded(standing, asked(standing))
    assert whole.left_out == 0
    monkeypatch.setattr(door, "KEPT_BYTES", 5000)
    found = recorded(standing, asked(standing), MANY)
    kept = [one.data for one in found.frames] + [data for _, data in found.datagrams]
    assert sum(map(len, kept)) < 5000 + 65_536  # the last one may go beyond
    assert len(kept) < len(whole.frames) + len(whole.datagrams)
    assert found.left_out > MANY * 10


def test_of_large_packets_only_the_headers_are_kept(standing: session.Standing) -> None:
    found = recorded(standing, asked(standing, "/bytes?size=100000"))
    assert max(len(one.data) for one in found.frames) == door.SNAPLEN  # the reply's are of many kilobytes


def test_it_ends_with_who_records_even_if_it_cannot_run(standing: session.Standing) -> None:
    request = asked(standing)

    def work() -> None:
        with recording(standing, request) as (_, process):
            os.kill(process, signal.SIGSTOP)
            signal.pause()

    call = join.Call(standing.record.keeper, work)
    wait_until(partial(own_table, standing), "the trace")
    call.kill()
    wait_until(lambda: not own_table(standing), "the end of the tables")


def test_it_keeps_none_of_the_files_of_who_records_open(standing: session.Standing) -> None:
    request = asked(standing)

    def work() -> bytes:
        read, write = os.pipe2(os.O_NONBLOCK)
        with recording(standing, request):
            os.close(write)
            return os.read(read, 1)  # it would be to wait for, if the recorder could still write

    assert standing.call(work) == b""


def test_the_next_may_begin_as_soon_as_it_has_told(lab: Callable[..., Invoke]) -> None:
    lab("clusterip", "--mode", "iptables", "--iptables", "legacy")
    standing = session.attach()
    request = asked(standing)
    job = trace.job(standing.cluster, request)

    def work() -> list[int]:
        found = []
        watches = tracing.Before(job).rules.watches
        for _ in range(5):  # of iptables-legacy's TRACE there is one listener
            with door.recording(tuple(job.places), watches, TABLE) as recorder:
                traffic.requests([request])
                recorder.stop()
                found.append(len(recorder.result().datagrams))
        return found

    assert min(standing.call(work)) > 0


def own_table(standing: session.Standing) -> bool:
    def look() -> bool:
        with netns.inside("node-1"):
            return TABLE in {table for _, table in nf_tables.tables()}

    return standing.call(look)


def wait_until(ready: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not ready():
        assert time.monotonic() < deadline, f"{what} did not happen"
