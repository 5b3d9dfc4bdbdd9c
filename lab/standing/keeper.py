"""The keeper: PID 1 of a capsule. It holds the namespaces, serves the pods and reaps; it decides nothing.

It speaks JSON, one object a line, on the socket that it inherits from `lab.up` and on /run/hairpin/keeper.sock:

    {"serve": [{"netns": ..., "pod": ..., "node": ..., "addresses": [...], "ports": [["TCP", 8080]]}, ...]}
    {"serve": [{"netns": ..., "pod": ..., "node": ..., "addresses": [...], "port": 32000, "service": "default/web",
                "endpoints": 1, "families": ["ipv4"]}, ...]}
    {"serve": [{"netns": ..., "pod": ..., "container": ..., "program": ..., "argv": [...], ...}, ...]}
    {"close": [{"netns": ..., "pod": ...}, ...]}
    {"processes": true}
    {"hold": true}

and answers each with `{"failures": [...]}`, a sentence for each port that could not be served, or one that says why it
is no order; asked for `processes`, also with what runs, or ran, in each pod. Until `hold` is said the lab is being
built: when the inherited socket closes before, its builder died, and so does the lab. It also ends when its log is
removed: no command finds it any more then (logind(8) removes a user's runtime folder after the last logout).
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from contextlib import suppress
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from lab.model.ops import Health, Listener, Run, Serve
from lab.serve import SOCKET
from lab.serve.server import Server

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lab.serve.processes import Processes

SHOWN = 80  # bytes of a line that is no order
LINE_LIMIT = 64 * 1024 * 1024
"""The longest order, in bytes: a thousand pods take some 200 kB."""


WATCH_S = 1.0
"""How often to look whether the log is still there, in seconds."""

LOG_LIMIT = 8 * 1024 * 1024
"""The largest log, in bytes; then it begins anew, for a lab may stand and be asked for weeks."""


def log(line: str) -> None:
    """Write one line to the log, which is our standard output (opened to append, so that it can be cut).

    A line that the file system has no room for is lost: pods answer all the same.
    """
    with suppress(OSError):
        if os.fstat(1).st_size > LOG_LIMIT:
            os.ftruncate(1, 0)
            os.write(1, b"(what stood here was dropped: the log had reached its limit)\n")
        os.write(1, line.encode(errors="replace") + b"\n")


class Orders:
    """Orders, as they come from any number of connections, and what they led to."""

    def __init__(self, server: Server) -> None:
        """Begin with a lab that is being built."""
        self.server = server
        self.processes: Processes | None = None  # most labs run none
        self.held = False

    def carry_out(self, order: dict[str, Any]) -> dict[str, Any]:
        """Do what one order says and return the answer."""
        self.held = self.held or order.get("hold", False)
        for pod in order.get("close", ()):
            self.server.close(pod["netns"], pod["pod"])
            if self.processes:
                self.processes.close(pod["netns"], pod["pod"])
        wanted = list(map(_serve, order.get("serve", ())))
        refusals = self.server.open(one for one in wanted if not isinstance(one, Run))
        failures = [*map(str, refusals), *self.run([one for one in wanted if isinstance(one, Run)])]
        told = {"processes": self.processes.report() if self.processes else []} if order.get("processes") else {}
        return {"failures": failures, **told}

    def run(self, wanted: Sequence[Run]) -> Iterator[str]:
        """Start what shall run in pods, and give what is wrong with those that cannot be."""
        if wanted and self.processes is None:
            from lab.serve.processes import Processes  # noqa: PLC0415 - see above

            self.processes = Processes(log)
        for one in wanted:
            if self.processes and (failure := self.processes.start(one)):
                yield failure

    def reap(self) -> None:
        """Wait for orphans: as PID 1 we are the parent of every process whose own is gone."""
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                if self.processes:
                    self.processes.reaped(*ended)

    def answer(self, line: bytes) -> dict[str, Any]:
        """Return the answer to one line, whatever it is: every process of the lab may write here."""
        try:
            return self.carry_out(json.loads(line))
        except Exception as error:  # noqa: BLE001 - the lab must not end by it
            return {"failures": [f"{line[:SHOWN]!r}: not an order: {error!r}"]}

    async def listen(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take orders from one connection until it closes, or sends a line that is too long."""
        with suppress(ConnectionError, ValueError):
            while line := await reader.readline():
                writer.write(json.dumps(self.answer(line)).encode() + b"\n")
                await writer.drain()
        writer.close()


def _serve(raw: dict[str, Any]) -> Listener:
    """Return what is to be served, or run, from its JSON form."""
    if "argv" in raw:
        pairs = {name: tuple(map(tuple, raw[name])) for name in ("env", "ports")}
        addresses = tuple(map(ip_address, raw["addresses"]))
        return Run(**{**raw, **pairs, "argv": tuple(raw["argv"]), "addresses": addresses})
    if "ports" not in raw:
        addresses = tuple(ip_address(address) for address in raw["addresses"])
        return Health(**{**raw, "addresses": addresses, "families": tuple(raw["families"])})
    return Serve(
        netns=raw["netns"],
        pod=raw["pod"],
        node=raw["node"],
        addresses=tuple(ip_address(address) for address in raw["addresses"]),
        ports=tuple((protocol, port) for protocol, port in raw["ports"]),
    )


def _end_with_the_log(loop: asyncio.AbstractEventLoop) -> None:
    if not os.fstat(1).st_nlink:
        os._exit(0)
    loop.call_later(WATCH_S, _end_with_the_log, loop)


async def _keep(builder: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, os._exit, 0)
    orders = Orders(Server(log))
    loop.add_signal_handler(signal.SIGCHLD, orders.reap)
    listener = await asyncio.start_unix_server(orders.listen, SOCKET, limit=LINE_LIMIT)
    await orders.listen(*await asyncio.open_connection(sock=builder, limit=LINE_LIMIT))
    if not orders.held:
        sys.exit("the builder ended before the lab stood")
    _end_with_the_log(loop)
    await listener.serve_forever()


def main() -> None:
    """Run as `python -m lab.standing.keeper FD LAB`: FD is the builder's socket, the lab's name is for ps(1)."""
    asyncio.run(_keep(socket.socket(fileno=int(sys.argv[1]))))


if __name__ == "__main__":
    main()
