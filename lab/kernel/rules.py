"""Rule sets into the kernel, and back: through the real iptables-restore and iptables-save.

nfacct counters have a netlink interface of their own (linux/netfilter/nfnetlink_acct.h): kube-proxy makes them before
it loads rules that name them.
"""

from __future__ import annotations

import errno
import re
import socket
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Literal

from lab.errors import KernelError
from lab.kernel import command
from lab.kernel.netlink import NLM_F_CREATE, Channel, Message, open_in, string

Variant = Literal["nft", "legacy"]
Family = Literal["ipv4", "ipv6"]

_PROGRAMS: dict[Family, str] = {"ipv4": "iptables", "ipv6": "ip6tables"}
_TABLES = ("mangle", "filter", "nat")
_TIMEOUT_S = 60.0

NETLINK_NETFILTER = 12  # socket has no name for it
_NFNL_SUBSYS_ACCT = 7
_NFNL_MSG_ACCT_NEW, _NFNL_MSG_ACCT_GET = 0, 1
_NFACCT_NAME = 1
_NAME_MAX = 31  # NFACCT_NAME_MAX less the closing zero
_NFGENMSG = struct.pack("=BBH", socket.AF_UNSPEC, 0, 0)
_PROBE = "hairpin_probe"

_TOO_LONG = "Message too long"


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """One iptables-restore input for one family of one network namespace ("" is the capsule's own)."""

    netns: str
    variant: Variant
    family: Family
    text: str


def restore(loads: Sequence[Load]) -> None:
    """Load rule sets side by side, each in one transaction; chains that a text does not name stay (--noflush).

    In a user namespace one iptables-nft transaction may not exceed net.core.wmem_default (some 300 rules): such a load
    is done again in parts, in which a chain is filled before anything jumps to it. Raises `HostError` if the program is
    missing, `KernelError` naming each namespace whose load was refused.
    """
    ends = command.run_all([_command(load, load.text) for load in loads], timeout_s=_TIMEOUT_S)
    refused = [end for end in ends if end.status]
    if refused and all(_TOO_LONG in end.stderr for end in refused):
        refused = _in_parts(
            [replace(load, text=_rest(end)) for load, end in zip(loads, ends, strict=True) if end.status]
        )
    if refused:
        raise KernelError("\n".join(map(_refusal, refused)))


def _refusal(end: command.Done) -> str:
    """Return what a restore program says, with the line that it names: the text itself is nowhere else to be seen."""
    place = f"in {end.command.netns}: " if end.command.netns else ""
    said = f"{place}{' '.join(end.command.argv)}: exit {end.status}: {end.stderr.strip()}"
    named = re.search(r"line:? (\d+)", end.stderr)
    lines = end.command.stdin.splitlines()
    number = int(named[1]) if named else 0
    return f"{said}\nline {number}: {lines[number - 1]}" if 0 < number <= len(lines) else said


def _rest(end: command.Done) -> str:
    """Return what a refused load has not loaded: from the refused table on, for each table is a transaction."""
    lines = end.command.stdin.splitlines(keepends=True)
    refused = max(map(int, re.findall(r"line:? (\d+)", end.stderr)), default=len(lines))
    begin = max((number for number, line in enumerate(lines[:refused]) if line.startswith("*")), default=0)
    return "".join(lines[begin:])


def _in_parts(loads: Sequence[Load]) -> list[command.Done]:
    """Load the first parts of all side by side, then the second ones, and so on; return the first refusals."""
    for row in zip_longest(*(parts(load.text) for load in loads)):
        todo = [_command(load, part) for load, part in zip(loads, row, strict=True) if part]
        refused = [end for end in command.run_all(todo, timeout_s=_TIMEOUT_S) if end.status]
        if refused:
            return refused
    return []


def _command(load: Load, text: str) -> command.Command:
    argv = [f"{_PROGRAMS[load.family]}-{load.variant}-restore", "--wait", "5", "--noflush", "--counters"]
    # Legacy iptables takes a lock for the machine, and tries it once a second: here each namespace is a machine.
    lock = (
        {"XTABLES_LOCKFILE": f"/run/hairpin/xtables.{load.family}.{load.netns}.lock"}
        if load.variant == "legacy"
        else {}
    )
    return command.Command(argv=tuple(argv), netns=load.netns, stdin=text, env=lock)


def save(netns: str, variant: Variant, family: Family) -> str:
    """Return what `iptables-save --counters` prints in `netns`, of kube-proxy's tables: mangle, filter and nat.

    Each table is asked for by name: iptables-legacy finds their names in a file that only the host's root may read.
    """
    program = f"{_PROGRAMS[family]}-{variant}-save"
    ask = [command.Command(argv=(program, "--counters", "-t", table), netns=netns) for table in _TABLES]
    return "".join(end.stdout for end in command.check_all(ask))


def parts(text: str, *, rules: int = 150) -> Iterator[str]:
    """Split an iptables-restore input into inputs of at most `rules` rules, to be loaded in order.

    Every chain is declared (and thereby emptied) and filled before any rule jumps to it, so no packet meets half a
    Service. Chains with rules that jump to them from many places (KUBE-SERVICES) come last and grow rule by rule.
    """
    for table, declared, appends in _tables(text):
        order = _callees_first(declared, appends)
        batch: list[str] = []
        size = 0
        for chain in order:
            head = [declared[chain]] if chain in declared else []
            for line in (*head, *appends.get(chain, ())):
                if size >= rules:
                    yield f"*{table}\n" + "".join(batch) + "COMMIT\n"
                    batch, size = [], 0
                batch.append(line)
                size += 1
        if batch:
            yield f"*{table}\n" + "".join(batch) + "COMMIT\n"


def _tables(text: str) -> Iterator[tuple[str, dict[str, str], dict[str, list[str]]]]:
    """Yield each table's name, its chains' declarations, and its other lines by chain."""
    table, declared, appends = "", dict[str, str](), dict[str, list[str]]()
    for line in text.splitlines(keepends=True):
        if line.startswith("*"):
            table, declared, appends = line[1:].strip(), {}, {}
        elif line.startswith(":"):
            declared[line[1:].split()[0]] = line
        elif line.startswith("COMMIT"):
            yield table, declared, appends
        elif line.strip() and not line.startswith("#"):
            words = line.split()
            at = next(n for n, word in enumerate(words) if word in ("-A", "-I", "-D", "-X", "-F"))  # after [counters]
            appends.setdefault(words[at + 1], []).append(line)


def _callees_first(declared: dict[str, str], appends: dict[str, list[str]]) -> list[str]:
    """Return the chains so that each comes after those that its rules jump to."""
    order: list[str] = []
    seen: set[str] = set()
    for root in (*declared, *appends):
        stack = [(root, False)]
        while stack:
            chain, filled = stack.pop()
            if filled:
                order.append(chain)
            elif chain not in seen:
                seen.add(chain)
                stack.append((chain, True))
                stack += [(target, False) for line in appends.get(chain, ()) if (target := _target(line)) in declared]
    return order


def _target(line: str) -> str:
    words = line.split()
    return next((words[n + 1] for n, word in enumerate(words[:-1]) if word in ("-j", "-g")), "")


def add_counters(netns: str, names: Sequence[str]) -> None:
    """Make nfacct counters; those that exist stay as they are. `KernelError` if the kernel has no nfacct."""
    with open_nfacct(netns) as channel:
        refusals = channel.send([_counter(name) for name in names])
        bad = [refusal for refusal in refusals if refusal.errno not in (errno.EEXIST, errno.EBUSY)]
        if bad:
            place = f"in {netns}: " if netns else ""
            raise KernelError("\n".join(f"{place}nfacct add {names[one.position]}: {one}" for one in bad))


def nfacct_available() -> bool:
    """Return whether the kernel has nfacct, by asking for a counter that does not exist in this thread's namespace."""
    with Channel(protocol=NETLINK_NETFILTER) as channel:
        ask = Message(
            kind=_NFNL_SUBSYS_ACCT << 8 | _NFNL_MSG_ACCT_GET, flags=0, body=_NFGENMSG + string(_NFACCT_NAME, _PROBE)
        )
        return [refusal.errno for refusal in channel.send([ask])] == [errno.ENOENT]


def open_nfacct(netns: str) -> Channel:
    """Open a nfnetlink channel to `netns`."""
    return open_in(netns, protocol=NETLINK_NETFILTER)


def _counter(name: str) -> Message:
    if len(name) > _NAME_MAX:
        raise ValueError(f"{name!r} is longer than an nfacct name may be")
    body = _NFGENMSG + string(_NFACCT_NAME, name)
    return Message(kind=_NFNL_SUBSYS_ACCT << 8 | _NFNL_MSG_ACCT_NEW, flags=NLM_F_CREATE, body=body)
