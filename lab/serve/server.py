"""What every pod runs: an HTTP and a UDP server, all of a lab's pods in one process (the keeper).

A socket belongs for ever to the network namespace that it was opened in, so one event loop can serve them all:
only opening needs a visit. The visits are synchronous; no other code of the process runs meanwhile.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Literal

from lab.kernel import netns
from lab.kernel.limits import raise_open_files
from lab.model.ops import Health
from lab.serve.health import content
from lab.serve.httpd import Connection, Limits, Owner
from lab.serve.udpd import Datagrams

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from lab.model.address import IPAddress
    from lab.model.ops import Serve
    from lab.serve.answer import Content, Seen

BACKLOG = 4096  # connections; the kernel takes net.core.somaxconn, whose default is the same, if that is less
SHOWN = 200  # characters of a path in the log
ACCEPTS = 64  # connections taken before other sockets have their turn
WITHOUT_DESCRIPTORS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}

Port = tuple[Literal["TCP", "UDP"], int]
Key = tuple[Port, int | str]  # and the IP version, since a dual-stack pod has two sockets for a port; or the address


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """A port that could not be opened, and why in the kernel's words."""

    netns: str
    pod: str
    protocol: Literal["TCP", "UDP"]
    port: int
    reason: str

    def __str__(self) -> str:
        """Return one line for the user."""
        return f"pod {self.pod}: cannot listen on {self.protocol} port {self.port} in {self.netns}: {self.reason}"


@dataclass(frozen=True, slots=True)
class _Open:
    """One pod's sockets, and the connections that came by them."""

    sockets: dict[Key, socket.socket] = field(default_factory=dict)
    connections: set[Connection] = field(default_factory=set)


class Server:
    """Serves the ports of any number of pods on the running asyncio loop.

    `log` gets one line for each request, and for each thing that went wrong: never an exception, whatever a
    peer does. A pod is known by its namespace and its name, for pods on the node's network share a namespace.
    """

    def __init__(self, log: Callable[[str], None], *, limits: Limits | None = None) -> None:
        """Start with no pods; call it inside the loop."""
        self._loop = asyncio.get_running_loop()
        self._log = log
        self._limits = limits or Limits()
        self._pods: dict[tuple[str, str], _Open] = {}
        self._health: dict[tuple[str, str], Health] = {}
        self._sweep: asyncio.TimerHandle | None = None
        raise_open_files()

    def open(self, pods: Iterable[Serve | Health]) -> list[Refusal]:
        """Listen on every port of `pods`, in their namespaces, and return those that could not be opened.

        What a pod has open already stays as it is, so a pod can be given again with more ports or addresses.
        """
        refusals: list[Refusal] = []
        wanted = list(pods)
        if not wanted:
            return refusals
        here = wanted[0].netns
        with netns.inside(here):
            for pod in wanted:
                if pod.netns != here:
                    netns.enter(pod.netns)
                    here = pod.netns
                if isinstance(pod, Health):
                    self._open_health(pod, refusals)
                else:
                    self._open_pod(pod, refusals)
        return refusals

    def close(self, namespace: str, pod: str) -> None:
        """Close a pod's sockets and drop its connections, as when its processes are killed; no pod, no harm."""
        self._health.pop((namespace, pod), None)
        held = self._pods.pop((namespace, pod), _Open())
        for listener in held.sockets.values():
            self._loop.remove_reader(listener)
            listener.close()
        for connection in tuple(held.connections):
            connection.expire()

    def _open_pod(self, pod: Serve, refusals: list[Refusal]) -> None:
        held = self._pods.setdefault((pod.netns, pod.pod), _Open())
        owner = Owner(pod=pod.pod, node=pod.node, report=_Reporter(pod.pod, self._log), connections=held.connections)
        versions = sorted({address.version for address in pod.addresses})
        for port in dict.fromkeys(pod.ports):
            for version in versions:
                if (port, version) in held.sockets:
                    continue
                try:
                    opened = listen(port, version)
                except OSError as error:
                    refusals.append(_refusal(pod, port, error))
                    break
                held.sockets[port, version] = opened
                self._watch(opened, owner)

    def _open_health(self, check: Health, refusals: list[Refusal]) -> None:
        """Listen where the check is to be answered, no longer elsewhere, and answer what it says from now on."""
        key = (check.netns, check.pod)
        self._health[key] = check
        held = self._pods.setdefault(key, _Open())
        report = _Reporter(check.pod, self._log)
        answer = partial(self._answer_health, key)
        owner = Owner(pod=check.pod, node=check.node, report=report, connections=held.connections, answer=answer)
        wanted: dict[Key, IPAddress] = {(("TCP", check.port), str(address)): address for address in check.addresses}
        for gone in held.sockets.keys() - wanted.keys():
            listener = held.sockets.pop(gone)
            self._loop.remove_reader(listener)
            listener.close()
        for place in wanted.keys() - held.sockets.keys():
            port, address = place[0], wanted[place]
            try:
                opened = listen(port, address.version, "" if address.is_unspecified else str(address))
            except OSError as error:
                refusals.append(_refusal(check, port, error))
                continue
            held.sockets[place] = opened
            self._watch(opened, owner)

    def _answer_health(self, key: tuple[str, str], seen: Seen) -> Content:
        return content(self._health[key], seen.path, datetime.now(UTC))

    def _watch(self, opened: socket.socket, owner: Owner) -> None:
        if opened.type == socket.SOCK_STREAM:
            self._loop.add_reader(opened, self._accept, opened, owner)
        else:
            self._loop.add_reader(opened, Datagrams(opened, owner.pod, owner.node, owner.report).receive)

    def _accept(self, listener: socket.socket, owner: Owner) -> None:
        for _ in range(ACCEPTS):
            try:
                accepted, _peer = listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno in WITHOUT_DESCRIPTORS:
                    self._rest(listener, owner, error)
                    return
                continue  # the peer gave up before it was its turn; accept(2) tells its error here
            accepted.setblocking(False)  # noqa: FBT003 - the library's signature
            self._loop.create_task(self._adopt(accepted, owner))

    async def _adopt(self, accepted: socket.socket, owner: Owner) -> None:
        try:
            await self._loop.connect_accepted_socket(lambda: Connection(owner, self._limits), accepted)
        except OSError:  # reset between accept() and here
            accepted.close()
            return
        if self._sweep is None:
            self._sweep = self._loop.call_later(self._tick, self._drop_the_slow)

    def _rest(self, listener: socket.socket, owner: Owner, error: OSError) -> None:
        """Stop accepting for a second: the queue would wake us again and again for nothing."""
        self._log(f"{stamp()} {owner.pod} cannot accept connections for a second: {os.strerror(error.errno or 0)}")
        self._loop.remove_reader(listener)
        self._loop.call_later(1.0, self._resume, listener, owner)

    def _resume(self, listener: socket.socket, owner: Owner) -> None:
        if listener.fileno() >= 0:
            self._loop.add_reader(listener, self._accept, listener, owner)

    @property
    def _tick(self) -> float:
        return min(1.0, self._limits.request_s / 2, self._limits.idle_s / 2, self._limits.linger_s / 2)

    def _drop_the_slow(self) -> None:
        now = self._loop.time()
        connections = [connection for pod in self._pods.values() for connection in pod.connections]
        for connection in connections:
            if connection.deadline < now:
                connection.expire()
        self._sweep = self._loop.call_later(self._tick, self._drop_the_slow) if connections else None


class _Reporter:
    """Writes one pod's access log: time, pod, protocol, client -> server, path, status."""

    __slots__ = ("_log", "_pod")

    def __init__(self, pod: str, log: Callable[[str], None]) -> None:
        self._pod = pod
        self._log = log

    def __call__(self, protocol: str, client: str, server: str, path: str, status: object) -> None:
        shown = path if path.isprintable() else ascii(path)
        if len(shown) > SHOWN:
            shown = shown[:SHOWN] + "..."
        self._log(f"{stamp()} {self._pod} {protocol} {client} -> {server} {shown or '-'} {status}")


def stamp() -> str:
    """Return the time as a log line begins: UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _refusal(pod: Serve | Health, port: Port, error: OSError) -> Refusal:
    reason = os.strerror(error.errno or errno.EINVAL)
    return Refusal(netns=pod.netns, pod=pod.pod, protocol=port[0], port=port[1], reason=reason)


def listen(port: Port, version: int, address: str = "") -> socket.socket:
    """Return a socket that listens on `port` at `address` ("": at every one of its IP version) in this namespace.

    `OSError` with the kernel's reason, such as EADDRINUSE.
    """
    protocol, number = port
    family = FAMILIES[version]
    opened = socket.socket(family, socket.SOCK_STREAM if protocol == "TCP" else socket.SOCK_DGRAM)
    try:
        opened.setblocking(False)  # noqa: FBT003 - the library's signature
        if family == socket.AF_INET6:  # the other version has its own socket
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if protocol == "TCP":
            # Connections that linger in TIME_WAIT must not keep a pod from starting again; a listener still does.
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind((address, number))
        if protocol == "TCP":
            opened.listen(BACKLOG)
        else:
            Datagrams.prepare(opened)
    except OSError:
        opened.close()
        raise
    return opened
