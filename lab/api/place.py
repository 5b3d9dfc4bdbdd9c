"""A place in a lab: ask from it, run something there, look at its flows and rules."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import overload

from lab.kernel.command import Done
from lab.model.address import IPAddress
from lab.model.flow import Flow
from lab.model.installed import Line
from lab.model.request import Reply
from lab.standing import enter, installed, observe, session


@dataclass(frozen=True, kw_only=True)
class Place:
    """A node, pod, client or router of the lab called `lab`; `name` is as `lab.exec` takes it."""

    lab: str
    name: str
    addresses: tuple[IPAddress, ...]

    @overload
    def curl(
        self, to: str, *, port: int | None = None, udp: bool = False, local_port: int = 0, timeout_s: float = 5.0
    ) -> Reply: ...
    @overload
    def curl(
        self,
        to: str,
        *,
        count: int,
        port: int | None = None,
        udp: bool = False,
        local_port: int = 0,
        timeout_s: float = 5.0,
    ) -> tuple[Reply, ...]: ...
    def curl(
        self,
        to: str,
        *,
        count: int | None = None,
        port: int | None = None,
        udp: bool = False,
        local_port: int = 0,
        timeout_s: float = 5.0,
    ) -> Reply | tuple[Reply, ...]:
        """Ask `to` (`svc/web`, `svc/web:http`, `web-1:8080`, `node-1:30080`, a URL) and return the reply.

        With `count`, the replies to so many requests. What went wrong is the reply's `error`, never an exception.
        """
        asked = observe.ask(
            session.attach(self.lab),
            self.name,
            to,
            port=port,
            protocol="udp" if udp else "tcp",
            count=1 if count is None else count,
            local_port=local_port,
            timeout_s=timeout_s,
        )
        return asked.replies[0] if count is None else asked.replies

    def exec(self, command: str, *, stdin: str = "", timeout_s: float = 60.0) -> Done:
        """Run a command with sh(1), and return its `status`, `stdout` and `stderr`; see `lab.standing.enter.output`."""
        return enter.output(session.attach(self.lab), self.name, command, stdin=stdin, timeout_s=timeout_s)

    def conntrack(self, *, source: str = "") -> tuple[Flow, ...]:
        """Return this node's flows, or only those begun by `source`."""
        return observe.flows(session.attach(self.lab), [self.name], source)

    def rules(self, service: str = "") -> tuple[Line, ...]:
        """Return this node's rules, of both families, as a packet meets them: a Service's, or those that all share.

        Raises `TopologyError` if this is not a node.
        """
        standing = session.attach(self.lab)
        found = installed.rules(standing, node=self.name, of=installed.service(standing.cluster, service))
        return tuple(line for one in found for line in one.lines)

    def counters(self) -> Counter[str]:
        """Return the packets that this node's rules have counted, by `CHAIN > TARGET`.

        The difference of two readings (`after - before`) is what came between them, without what did not change; see
        `lab.standing.installed.counters`.
        """
        return installed.counters(session.attach(self.lab), self.name)
