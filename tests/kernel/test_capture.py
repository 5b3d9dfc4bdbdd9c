"""Packets of several namespaces in one file, or as lines: all of them, in order, with the names of their interfaces."""

from __future__ import annotations

import os
import re
import select
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from lab.errors import KernelError
from lab.kernel import command, tap
from lab.packets import capture
from lab.parse.frame import frame
from lab.standing import observe, session
from tests.captured import Captured, read

from .conftest import Invoke, invocation

Lab = Callable[..., Invoke]
Inside = Callable[..., Any]
DEADLINE_S = 20
SYN, SYN_ACK = "[S]", "[S.]"


@contextmanager
def capturing(*words: str, stdout: int = subprocess.PIPE) -> Iterator[subprocess.Popen[bytes]]:
    """Give a `lab.capture` that has begun."""
    with subprocess.Popen(invocation("lab.capture", *words), stdout=stdout, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        try:
            assert select.select([process.stderr], [], [], DEADLINE_S)[0], "it did not begin"
            assert process.stderr.readline().startswith(b"capturing on ")
            yield process
        finally:
            process.kill()


def ended(process: subprocess.Popen[bytes], number: int | None = None) -> tuple[str, str]:
    """Return what a capture printed, after a signal if it does not end by itself; it succeeds."""
    if number is not None:
        process.send_signal(number)
    out, said = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, said
    return out.decode(), said.decode()


def seen(found: Captured, flags: str) -> list[tuple[str, str, str, str]]:
    """Return interface, direction and ends of each TCP packet with these flags."""
    told = [(one, frame(one.data)) for one in found.packets]
    return [
        (one.interface, one.direction, str(packet.source), str(packet.destination))
        for one, packet in told
        if packet.protocol == "tcp" and packet.info == flags
    ]


def test_one_file_has_the_packets_of_several_namespaces_in_order(lab: Lab, tmp_path: Path) -> None:
    invoke, file = lab("hairpin"), tmp_path / "a.pcapng"
    words = ("--target", "all", "--write", str(file), "--filter", "tcp port 80 or tcp port 8080")
    with capturing(*words) as process:
        assert invoke("lab.curl", "client-a", "svc/web").returncode == 0
        _, said = ended(process, signal.SIGINT)
    found = read(file)
    assert said == f"captured {len(found.packets)} packets\n"
    times = [one.time_ns for one in found.packets]
    assert times == sorted(times)
    assert abs(times[-1] - time.time_ns()) < 60e9
    cluster = session.attach().cluster
    pods = {pod.metadata.name: str(pod.status.pod_ip) for pod in cluster.pods}
    vip = cluster.services[0].spec.cluster_ip
    way = [
        ("client-a/eth0", "out", pods["client-a"], vip),
        ("node-1/veth-client-a", "in", pods["client-a"], vip),
        ("node-1/veth-web-1", "out", pods["client-a"], pods["web-1"]),
        ("web-1/eth0", "in", pods["client-a"], pods["web-1"]),
    ]
    assert seen(found, SYN) == way
    turned = {"in": "out", "out": "in"}
    back = [(interface, turned[where], other, one) for interface, where, one, other in reversed(way)]
    assert seen(found, SYN_ACK) == back
    assert {"router/lan0", "client-a/lo"} <= {told[2].decode() for _, _, told in found.interfaces}
    assert found.names[ip_address(vip).packed] == "svc/web"
    assert found.section[1] == b"lab hairpin, topology hairpin"


def test_tcpdump_and_every_reader_of_it_opens_the_file(lab: Lab, tmp_path: Path) -> None:
    invoke, file = lab("hairpin"), tmp_path / "a.pcapng"
    with capturing("--target", "client-a", "--write", str(file), "--filter", "tcp") as process:
        assert invoke("lab.curl", "client-a", "svc/web").returncode == 0
        ended(process, signal.SIGTERM)
    listed = command.check(["tcpdump", "-n", "-r", str(file), "tcp[tcpflags] & tcp-syn != 0"]).splitlines()
    assert [line.split("Flags ")[1][:4].rstrip(",") for line in listed] == [SYN, SYN_ACK]


def test_standard_output_carries_the_file_to_another_program(lab: Lab) -> None:
    invoke = lab("hairpin")
    with capturing("--target", "client-a", "--write", "-", "--count", "2", "--filter", "tcp") as process:
        assert invoke("lab.curl", "client-a", "svc/web").returncode == 0
        out, said = process.communicate(timeout=DEADLINE_S)
    assert seen(read(out), SYN)
    assert said == b"captured 2 packets\n"


def test_lines_come_with_names_marks_and_directions(lab: Lab) -> None:
    invoke = lab("hairpin")
    marked = "iptables -t mangle -A OUTPUT -p tcp -j MARK --set-mark 0x7"
    assert invoke("lab.exec", "client-a", marked).returncode == 0
    words = ("--target", "client-a", "--target", "node-1", "--filter", "tcp[tcpflags] == tcp-syn", "--count", "3")
    with capturing(*words) as process:
        assert invoke("lab.curl", "client-a", "svc/web").returncode == 0
        out, said = ended(process)
    lines = [re.sub(r"^\d\d:\d\d:\d\d\.\d{6} ", "", re.sub(r":\d{5} ", ":PORT ", line)) for line in out.splitlines()]
    asks = "client-a 10.244.1.3:PORT -> svc/web 10.96.0.10:80 tcp [S]"
    assert [" ".join(line.split()) for line in lines] == [
        f"client-a/eth0 out {asks} mark 0x7",
        f"node-1/veth-client-a in {asks}",  # a mark does not cross a veth
        "node-1/veth-web-1 out client-a 10.244.1.3:PORT -> web-1 10.244.1.2:8080 tcp [S]",
    ]
    assert said == "captured 3 packets\n"


def test_its_reader_may_have_seen_enough(lab: Lab) -> None:
    invoke = lab("hairpin")
    with capturing("--target", "client-a") as process:
        assert process.stdout is not None
        process.stdout.close()
        assert invoke("lab.curl", "client-a", "svc/web").returncode == 0
        assert process.wait(DEADLINE_S) == 0


def test_names_in_a_filter_are_the_labs(lab: Lab) -> None:
    invoke = lab("hairpin")
    with capturing("--target", "client-a", "--filter", "tcp and host web", "--count", "1") as process:
        assert invoke("lab.curl", "client-a", "svc/web").returncode == 0
        assert "-> svc/web" in ended(process)[0]


def test_it_ends_in_time_with_a_file_that_says_that_nothing_came(lab: Lab, tmp_path: Path) -> None:
    lab("hairpin")
    file = tmp_path / "a.pcapng"
    with capturing("--target", "client-a", "--write", str(file), "--seconds", "0.1") as process:
        assert ended(process)[1] == "captured 0 packets\n"
    found = read(file)
    assert [told[2] for _, _, told in found.interfaces] == [b"client-a/lo", b"client-a/eth0"]
    assert found.statistics[0][5] == struct.pack("<Q", 0)


def test_it_ends_with_the_lab_and_the_file_is_whole(lab: Lab, tmp_path: Path) -> None:
    invoke, file = lab("hairpin"), tmp_path / "a.pcapng"
    with capturing("--target", "client-a", "--write", str(file), "--filter", "tcp") as process:
        assert invoke("lab.curl", "client-a", "svc/web").returncode == 0
        assert invoke("lab.down").returncode == 0
        _, said = ended(process)
    assert said == f"captured {len(read(file).packets)} packets; the lab has ended\n"


def test_what_makes_no_sense_is_told_and_leaves_no_file(lab: Lab, tmp_path: Path) -> None:
    invoke, file = lab("hairpin"), tmp_path / "a.pcapng"
    for words, message in (
        (
            ("--target", "all", "--filter", "tcp prt 80"),
            "--filter 'tcp prt 80': tcpdump: can't parse filter expression",
        ),
        (("--target", "web-9"), "there is no pod, node or client 'web-9'"),
        ((), "which packets? expected --target, once or several times"),
        (("--target", "all", "--count", "-1"), "--count -1: expected 0, for all, or how many packets"),
        (("--target", "all", "--seconds", "nan"), "--seconds nan: expected 0, for no end, or how long"),
    ):
        done = invoke("lab.capture", "--write", str(file), *words)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(f"error: {message}")
    assert not file.exists()


def test_a_file_that_is_there_is_never_overwritten(lab: Lab, tmp_path: Path) -> None:
    invoke, file = lab("hairpin"), tmp_path / "a.pcapng"
    file.write_text("precious")
    done = invoke("lab.capture", "--target", "all", "--write", str(file))
    assert (done.returncode, file.read_text()) == (2, "precious")
    assert done.stderr.startswith(f"error: {file}: File exists\n  hint: choose another place")


def test_a_capture_in_the_background_ends_with_its_block(lab: Lab, tmp_path: Path) -> None:
    lab("hairpin")
    file = tmp_path / "a.pcapng"
    with capture.running(session.attach(), ["client-a"], write=file) as going:
        observe.ask(session.attach(), "client-a", "svc/web")
    done = going.stop()
    assert (done.packets, done.dropped, done.lab_ended) == (len(read(file).packets), 0, False)
    assert seen(read(file), SYN)


# --- the taps themselves ---------------------------------------------------------------------------------------------


def flood(number: int) -> tuple[int, int, int]:
    """Send so many datagrams to ourselves while nobody reads the tap; return how many came, were lost, and are left."""
    command.check(["ip", "link", "set", "lo", "up"], netns="")
    with tap.Taps([""], tap.compile_filter("udp")) as taps, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
        end.bind(("127.0.0.1", 0))
        for _ in range(number):
            end.sendto(bytes(1000), end.getsockname())
        frames = taps.read()
        first, again = taps.dropped()[""], taps.dropped()[""]
    return len(frames), first, again


def test_what_the_kernel_had_no_room_for_is_counted(inside: Inside) -> None:
    came, lost, again = inside(flood, 30_000)
    assert came > 0
    assert lost > 0
    assert lost == again
    assert came + lost >= 30_000  # the kernel's count has those, too, that were going out


def behind_time() -> int:
    """Return how many frames of the first datagram behind the opening of taps have a later time than it came."""
    late = 0
    command.check(["ip", "link", "set", "lo", "up"], netns="")
    for _ in range(20):
        with tap.Taps([""], tap.compile_filter("udp")) as taps, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
            end.bind(("127.0.0.1", 0))
            end.sendto(b"once", end.getsockname())
            assert end.recv(9) == b"once"
            came = time.time_ns()
            late += sum(frame.time_ns > came for frame in taps.read())
    return late


def test_the_first_packet_has_the_time_when_it_came_and_not_when_it_was_read(inside: Inside) -> None:
    assert inside(behind_time) == 0


def to_itself() -> list[str]:
    command.check(["ip", "link", "set", "lo", "up"], netns="")
    with tap.Taps([""], tap.compile_filter("udp")) as taps, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
        end.bind(("127.0.0.1", 0))
        end.sendto(b"once", end.getsockname())
        assert end.recv(9) == b"once"
        return [one.direction for one in taps.read()]


def test_the_loopback_interface_shows_a_packet_once(inside: Inside) -> None:
    assert inside(to_itself) == ["in"]


def later_interface() -> list[tuple[str, str]]:
    with tap.Taps([""], tap.compile_filter("icmp")) as taps:
        command.check(["ip", "link", "add", "late", "type", "veth", "peer", "name", "far"], netns="")
        command.check(["ip", "address", "add", "10.9.9.1/24", "dev", "late"], netns="")
        for name in ("late", "far"):
            command.check(["ip", "link", "set", name, "up"], netns="")
        command.check(["ip", "neighbour", "add", "10.9.9.2", "lladdr", "02:00:00:00:00:02", "dev", "late"], netns="")
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as end:
            end.sendto(bytes([8, 0, 0, 0]) + bytes(4), ("10.9.9.2", 0))
        assert select.select([taps], [], [], DEADLINE_S)[0]
        return sorted((one.interface, one.direction) for one in taps.read())


def test_an_interface_that_comes_later_is_tapped_too(inside: Inside) -> None:
    assert inside(later_interface) == [("far", "in"), ("late", "out")]


def test_frames_of_several_taps_are_put_in_the_order_of_their_time() -> None:
    def at(*times: int) -> list[tap.Frame]:
        return [tap.Frame(one, "a", "eth0", "in", 0, 1, 0x800, 0, 0, b"") for one in times]

    order = tap.Order()
    order.put(at(5, 9))
    order.put(at(3, 7))
    assert [one.time_ns for one in order.take(6)] == [3, 5]
    order.put(at(6))
    assert [one.time_ns for one in order.take()] == [6, 7, 9]
    assert len(order) == 0


def test_a_tap_of_what_is_not_there_is_refused_and_nothing_stays_open(inside: Inside) -> None:
    def opened() -> tuple[str, int]:
        before = len(os.listdir("/proc/self/fd"))
        with pytest.raises(KernelError) as refusal:
            tap.Taps(["", "nowhere"])
        return refusal.value.message, len(os.listdir("/proc/self/fd")) - before

    assert inside(partial(opened)) == ("nowhere: no such network namespace in this lab", 0)
