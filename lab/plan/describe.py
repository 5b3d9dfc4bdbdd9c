"""Op -> the commands that a person would type for it: what `--dry-run` prints.

A line that begins with `ip` or `bridge` is also one for that program's `-batch`, once the program's name and
`-n NAMESPACE` are taken off: the benchmark runs them so. What one netlink message does may take two lines.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any, assert_never

import msgspec

from lab import words
from lab.model.ops import (
    Address,
    Bridge,
    Close,
    Delete,
    Fdb,
    Health,
    Hosts,
    Namespace,
    Neighbour,
    Op,
    Remove,
    Route,
    Rules,
    Run,
    Serve,
    Sysctl,
    Veth,
    Vxlan,
)


def describe(op: Op) -> str:  # noqa: C901, PLR0911, PLR0912 - one case per op
    """Return the commands, one a line, without a newline at the end."""
    match op:
        case Namespace():
            return f"ip netns add {op.netns}\nip{_n(op)} link set lo up"
        case Sysctl():
            return f"{_exec(op)}sysctl -w {op.key}={shlex.quote(op.value)}{' || true' if op.optional else ''}"
        case Bridge():
            tail = f"\nip{_n(op)} link set {op.name} promisc on" if op.promiscuous else ""
            return (
                f"ip{_n(op)} link add {op.name} index {op.index} address {op.mac}{_mtu(op)} up"
                f" type bridge mcast_snooping 0{tail}"
            )
        case Veth():
            return _veth(op)
        case Vxlan():
            return (
                f"ip{_n(op)} link add {op.name} index {op.index} address {op.mac}{_mtu(op)} up"
                f" type vxlan id {op.vni} local {op.local} dev {op.lower_name} dstport {op.port} nolearning"
            )
        case Address():
            nodad = " nodad" if op.address.version == 6 else ""  # noqa: PLR2004 - IPv6
            alone = "" if op.prefix_route else " noprefixroute"
            return f"ip{_n(op)} address add {op.address} dev {op.link}{nodad}{alone}"
        case Route():
            return f"ip{_n(op)} {_route(op)}"
        case Neighbour():
            return f"ip{_n(op)} neighbour add {op.address} lladdr {op.mac} dev {op.link} nud permanent"
        case Fdb():
            return f"bridge{_n(op)} fdb add {_fdb(op)} self permanent"
        case Rules():
            return _rules(op)
        case Hosts():
            return "\n".join(_file(f"/run/hairpin/hosts.{namespace}", text) for namespace, text in op.texts)
        case Health():
            at = " ".join(words.socket(address, op.port) for address in op.addresses)
            what = f"{op.service}: {op.endpoints} here" if op.service else "kube-proxy itself"
            return f"# in {op.netns}: answer health checks on {at}, {what}"
        case Serve():
            ports = " ".join(f"{protocol}:{port}" for protocol, port in op.ports)
            return f"# in {op.netns}: serve {ports} as pod {op.pod} on {op.node}"
        case Run():
            return _run(op)
        case Delete():
            return _delete(op.what)
        case Close():
            return f"# in {op.netns}: serve as pod {op.pod} no more"
        case Remove():
            return f"ip netns delete {op.netns}"
        case _:
            assert_never(op)


def _delete(what: Veth | Route | Neighbour | Fdb) -> str:
    match what:
        case Veth():
            return f"ip{_n(what)} link delete {what.name}"
        case Route():
            return f"ip{_n(what)} {_route(what, 'delete')}"
        case Neighbour():
            return f"ip{_n(what)} neighbour delete {what.address} dev {what.link}"
        case Fdb():
            return f"bridge{_n(what)} fdb delete {_fdb(what)} self"
        case _:
            assert_never(what)


def script(ops: Sequence[Op]) -> str:
    """Return the whole plan as commands, one a line."""
    return "".join(f"{describe(op)}\n" for op in ops)


def data(ops: Sequence[Op]) -> list[dict[str, Any]]:
    """Return the plan as JSON's types: each op's fields, and its name in small letters as `op`."""
    return [_data(op) for op in ops]


def _data(op: Op) -> dict[str, Any]:
    fields = {"what": _data(op.what)} if isinstance(op, Delete) else msgspec.to_builtins(op, enc_hook=str)
    return {"op": type(op).__name__.lower(), **fields}


def _n(op: Namespace | Bridge | Veth | Vxlan | Address | Route | Neighbour | Fdb) -> str:
    return f" -n {op.netns}" if op.netns else ""


def _mtu(op: Bridge | Veth | Vxlan) -> str:
    return f" mtu {op.mtu}" if op.mtu else ""


def _fdb(op: Fdb) -> str:
    return f"{op.mac} dev {op.link} dst {op.destination}"


def _exec(op: Sysctl | Rules) -> str:
    return f"ip netns exec {op.netns} " if op.netns else ""


def _veth(op: Veth) -> str:
    netns = f" netns {op.peer_netns}" if op.peer_netns else ""
    far = f"ip -n {op.peer_netns}" if op.peer_netns else "ip"
    master = f" master {op.master_name or op.master}" if op.master else ""
    lines = [
        (
            f"ip{_n(op)} link add {op.name} index {op.index} address {op.mac}{_mtu(op)}{master} up type veth"
            f" peer name {op.peer_name} index {op.peer_index} address {op.peer_mac}{_mtu(op)}{netns}"
        ),
        f"{far} link set {op.peer_name} up",
    ]
    if op.hairpin:
        lines.append(f"bridge{_n(op)} link set dev {op.name} hairpin on")
    return "\n".join(lines)


def _route(op: Route, verb: str = "add") -> str:
    destination = str(op.destination) if op.destination.prefixlen else "default"
    if op.kind == "blackhole":
        family = "-6 " if op.destination.version == 6 else ""  # noqa: PLR2004 - IPv6
        return f"{family}route {verb} blackhole {destination}"
    via = f" via {op.via}" if op.via else ""
    onlink = " onlink" if op.onlink else ""
    return f"route {verb} {destination}{via} dev {op.link}{onlink}"


def _rules(op: Rules) -> str:
    counters = [f"{_exec(op)}nfacct add {name}\n" for name in op.counters]
    if op.tool == "nft":
        load = "nft -f -"
    else:
        program = op.tool if op.family == "ipv4" else op.tool.replace("iptables", "ip6tables")
        load = f"{program}-restore --wait 5 --noflush --counters"
    return "".join(counters) + f"{_exec(op)}{load} <<'EOF'\n{op.text}EOF"


def _run(op: Run) -> str:
    """Return what env(1) does; the program's own first word is its file's name here."""
    start = shlex.join(["env", "-i", "-C", op.folder, *(f"{name}={value}" for name, value in op.env)])
    return f"ip netns exec {op.netns} {start} {shlex.join([op.program, *op.argv[1:]])} &  # pod {op.pod}"


def _file(path: str, text: str) -> str:
    return f"cat >{path} <<'EOF'\n{text}EOF"
