"""Rule sets into the kernel, and back: through the real iptables-restore, iptables-save and nft.

nfacct counters have a netlink interface of their own (linux/netfilter/nfnetlink_acct.h): kube-proxy makes them before
it loads rules that name them.
"""

from __future__ import annotations

import errno
import re
import socket
import struct
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

from lab.errors import KernelError
from lab.kernel import command, nft
from lab.kernel.capsule import FOLDER
from lab.kernel.netlink import NETLINK_NETFILTER, NLM_F_CREATE, Channel, Message, open_in, string

Tool = Literal["iptables-nft", "iptables-legacy", "nft"]
"""What loads a rule set: one of the two iptables, or nft for one in its own language."""

Family = Literal["ipv4", "ipv6"]

_TABLES = ("mangle", "filter", "nat")
_NFT_FAMILIES: dict[Family, str] = {"ipv4": "ip", "ipv6": "ip6"}
_NFT_TABLE = "kube-proxy"
_MANY_LETTERS = 1 << 18  # some thousand rules
_ZERO = "-Z\n"
_NFT_LETTERS = 1 << 19  # above, several transactions are faster than one; below, each has to wait for the kernel
_TIMEOUT_S = 60.0

_NFNL_SUBSYS_ACCT = 7
_NFNL_MSG_ACCT_NEW, _NFNL_MSG_ACCT_GET = 0, 1
_NFACCT_NAME = 1
_NAME_MAX = 31  # NFACCT_NAME_MAX less the closing zero
_NFGENMSG = struct.pack("=BBH", socket.AF_UNSPEC, 0, 0)
_PROBE = "hairpin_probe"

_TOO_LONG = "Message too long"
_TOO_LONG_HINT = "net.core.wmem_default limits what an ordinary user may load at once; root has no such limit"


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """One input of iptables-restore or nft for one family of one network namespace.

    `netns` "" is the capsule's own, None the one that this thread is in. `whole`: rather refused than loaded in parts.
    `anew`: it writes (nearly) all rules anew, so nobody misses the counters of the others.
    """

    netns: str | None
    tool: Tool
    family: Family
    text: str
    whole: bool = False
    anew: bool = False


def restore(loads: Sequence[Load]) -> None:
    """Load rule sets side by side, each in one transaction; chains that a text does not name stay (--noflush).

    In a user namespace one transaction of nft or iptables-nft may not exceed net.core.wmem_default (some 300 rules of
    iptables): such a load is done again in parts, in which a chain is filled before anything jumps to it. A text for
    nft makes a table that is not there yet; a long one is loaded in parts by everybody (see `lab.kernel.nft`).
    Raises `HostError` if the program is missing, `KernelError` naming each namespace whose load was refused.
    """
    refused = list(filter(None, attempt(loads)))
    if refused:
        too_long = any(_TOO_LONG in refusal for refusal in refused)
        raise KernelError("\n".join(refused), hint=_TOO_LONG_HINT if too_long else "")


def attempt(loads: Sequence[Load]) -> list[str]:
    """Load rule sets as `restore` does, and return for each what was refused, "" if nothing was.

    Raises `HostError` if the program is missing, `KernelError` if it does not end.
    """
    queues = [deque(_texts(load)) for load in loads]
    refusals = [""] * len(loads)
    while turn := [number for number, queue in enumerate(queues) if queue]:
        todo = [_command(loads[number], queues[number].popleft()) for number in turn]
        for number, end in zip(turn, command.run_all(todo, timeout_s=_TIMEOUT_S), strict=True):
            if end.status and (loads[number].whole or not _cut(loads[number].tool, end, queues[number])):
                refusals[number] = _refusal(end)
                queues[number].clear()
    return refusals


def _texts(load: Load) -> Iterator[str]:
    """Return the inputs that a load begins with: one, unless it is too much for nft."""
    if load.tool == "nft" and len(load.text) > _NFT_LETTERS and not nft.is_commands(load.text):
        return nft.parts(load.text, size=_NFT_LETTERS)
    return iter((load.text,))


def _cut(tool: Tool, end: command.Done, queue: deque[str]) -> bool:
    """If an input was too long for a transaction, put it back into the queue in pieces; return whether that was so."""
    if _TOO_LONG not in end.stderr:
        return False
    text = end.command.stdin
    if tool == "nft":  # what waits behind it is as long
        size = len(text) // 2
        pieces = list(nft.cut(text, size=size))
        rest = [piece for waiting in queue for piece in nft.cut(waiting, size=size)]
    else:
        pieces, rest = list(parts(_rest(end))), list(queue)
    if max(map(len, pieces)) >= len(text):
        return False
    queue.clear()
    queue.extend((*pieces, *rest))
    return True


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


def _command(load: Load, text: str) -> command.Command:
    if load.tool == "nft":
        return command.Command(argv=("nft", "-f", "-"), netns=load.netns, stdin=text)
    argv = (f"{_iptables(load.tool, load.family)}-restore", "--wait", "5", "--noflush", "--counters")
    if load.tool == "iptables-nft" and load.anew and len(text) > _MANY_LETTERS:
        text = _all_chains_at_once(text)
    env = {}
    if load.tool == "iptables-legacy":
        # It takes a lock for the machine, and tries it once a second: here each namespace is a machine. A name may be
        # as long as a file's, so the lock has its hash.
        machine = sha256(f"{load.family} {load.netns}".encode()).hexdigest()[:16]
        env["XTABLES_LOCKFILE"] = str(FOLDER / f"xtables.{machine}.lock")
    return command.Command(argv=argv, netns=load.netns, stdin=text, env=env)


def _all_chains_at_once(text: str) -> str:
    """Return an iptables-restore input that iptables-nft loads in seconds, not minutes.

    With --noflush it keeps a sorted list of the chains that are named, and walks along it for every line, unless a line
    is about no chain in particular (nft_cache_level_set, iptables/nft-cache.c). That is -Z, which sets the counters
    of all rules to zero: the price of a text of this length, most of whose rules are new.
    """
    for table in _TABLES:
        text = text.replace(f"*{table}\n", f"*{table}\n{_ZERO}", 1)
    return text


def _iptables(tool: Tool, family: Family) -> str:
    """Return the name that a family's programs begin with: `ip6tables-nft` for iptables-nft's IPv6."""
    return tool if family == "ipv4" else tool.replace("iptables", "ip6tables")


def save(netns: str | None, tool: Tool, family: Family) -> str:
    """Return what `iptables-save --counters` prints in `netns`, of kube-proxy's tables: mangle, filter and nat.

    Each table is asked for by name: iptables-legacy finds their names in a file that only the host's root may read.
    For nft it is kube-proxy's one table as JSON, see libnftables-json(5).
    """
    if tool == "nft":
        argv = ("nft", "-j", "list", "table", _NFT_FAMILIES[family], _NFT_TABLE)
        return command.check(argv, netns=netns, timeout_s=_TIMEOUT_S)
    program = f"{_iptables(tool, family)}-save"
    ask = [command.Command(argv=(program, "--counters", "-t", table), netns=netns) for table in _TABLES]
    return "".join(end.stdout for end in command.check_all(ask))


def parts(text: str, *, rules: int = 150) -> Iterator[str]:
    """Split an iptables-restore input into inputs of at most `rules` rules, to be loaded in order.

    Every chain is declared (and thereby emptied) and filled before any rule jumps to it, so no packet meets half a
    Service. Chains with rules that jump to many others (KUBE-SERVICES) come last and grow rule by rule; chains that are
    to be deleted (-X) are emptied at the end, when nothing jumps there any more. A chain is only cut if it alone has
    more than `rules` rules.
    """
    for table, declared, lines in _tables(text):
        deleted = {chain: declared.pop(chain, "") for chain, own in lines.items() if own[-1].startswith("-X")}
        blocks = [
            [*([declared[chain]] if chain in declared else []), *lines.get(chain, ())]
            for chain in _callees_first(declared, lines)
            if chain not in deleted
        ]
        blocks.append([*deleted.values(), *(lines[chain][-1] for chain in deleted)])
        batch: list[str] = []
        for block in blocks:
            if batch and len(batch) + len(block) > rules:
                yield _batch(table, batch)
                batch = []
            for line in block:
                if len(batch) >= rules:
                    yield _batch(table, batch)
                    batch = []
                batch.append(line)
        if batch:
            yield _batch(table, batch)


def _batch(table: str, lines: list[str]) -> str:
    return f"*{table}\n{''.join(lines)}COMMIT\n"


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
        elif line.strip() and not line.startswith("#") and line != _ZERO:
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


def add_counters(netns: str | None, names: Sequence[str]) -> None:
    """Make nfacct counters; those that exist stay as they are. `KernelError` if the kernel has no nfacct."""
    protocol = NETLINK_NETFILTER
    with Channel(protocol=protocol) if netns is None else open_in(netns, protocol=protocol) as channel:
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


def _counter(name: str) -> Message:
    if len(name) > _NAME_MAX:
        raise ValueError(f"{name!r} is longer than an nfacct name may be")
    body = _NFGENMSG + string(_NFACCT_NAME, name)
    return Message(kind=_NFNL_SUBSYS_ACCT << 8 | _NFNL_MSG_ACCT_NEW, flags=NLM_F_CREATE, body=body)
