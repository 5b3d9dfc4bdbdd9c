"""What this machine has and lacks for a lab, found without changing it; for each lack the command that mends it."""

from __future__ import annotations

import os
import re
import shutil
from functools import partial
from pathlib import Path
from typing import Literal, TypedDict

from lab.errors import HostError, LabError
from lab.kernel import command, scratch, sysctl, trials
from lab.kernel.modules import Presence, presence

Status = Literal["ok", "limited", "missing"]

NOBODY = 65534
"""The uid that stands for a user other than root."""

_BOOT = "no command: this kernel was built without it; a distribution's stock kernel has it"
_BR_NETFILTER = (
    "the machine's own bridges (docker's, libvirt's) then send their packets through its iptables as well, until the"
    " next boot or `sudo modprobe -r br_netfilter`: that is why a lab never loads it itself"
)
# What a lacking feature may want other than another kernel: the command, and what it changes.
_MENDS = {
    "br_netfilter": ("sudo modprobe br_netfilter", _BR_NETFILTER),
    "TUN/TAP": ("sudo chmod a+rw /dev/net/tun", "every user may make such devices in namespaces of their own"),
}
_APPARMOR = "kernel.apparmor_restrict_unprivileged_userns"
_UNHARDEN = "every program of every user may then make user namespaces with capabilities, until the next boot"


class Check(TypedDict):
    """One thing looked at. `mend` (a command, or why there is none) and `changes` are empty when nothing is to mend.

    `status`: ok, limited or missing.
    """

    name: str
    status: str
    required: bool
    needed_for: str
    observed: str
    mend: str
    changes: str


# program -> (its arguments that print a version, Debian's package, whether a lab needs it, what for)
TOOLS: dict[str, tuple[tuple[str, ...], str, bool, str]] = {
    "iptables-nft-restore": (("--version",), "iptables", True, "mode: iptables"),
    "iptables-legacy-restore": (("--version",), "iptables", False, "iptables: legacy"),
    "ip6tables-nft-restore": (("--version",), "iptables", False, "dual-stack labs"),
    "nft": (("--version",), "nftables", False, "mode: nftables"),
    "conntrack": (("--version",), "conntrack", False, "looking yourself in lab.shell"),
    "ip": (("-V",), "iproute2", False, "looking yourself in lab.shell"),
    "curl": (("--version",), "curl", True, "lab.curl, lab.check"),
    "tcpdump": (("--version",), "tcpdump", False, "looking yourself in lab.shell"),
    "ping": (("-V",), "iputils-ping", False, "looking yourself in lab.shell"),
    "ipset": (("help",), "ipset", False, "looking yourself in lab.shell"),  # `ipset --version` would ask the kernel
    "bash": (("--version",), "bash", True, "lab.shell"),
}


def examine() -> list[Check]:
    """Look at kernel, namespaces, features, tools, sysctls and memory, in this order; under half a second.

    A feature in a module that is on the disk but not loaded is not tried, since trying would load it.
    """
    found = presence({module for feature in trials.FEATURES for module in feature.modules} | {"br_netfilter"})
    waiting = {feature.name: _waiting(feature, found) for feature in trials.FEATURES}
    outcomes = scratch.attempt({f.name: partial(_trial, f) for f in trials.FEATURES if not waiting[f.name]})
    return [
        _kernel(),
        *_namespaces(outcomes),
        *(_feature(feature, outcomes, waiting[feature.name], found) for feature in trials.FEATURES),
        *_tools(),
        *_sysctls(),
        _memory(),
    ]


def _check(
    name: str,
    needed_for: str,
    observed: str,
    *,
    status: Status = "ok",
    required: bool = False,
    mend: str = "",
    changes: str = "",
) -> Check:
    return Check(
        name=name,
        status=status,
        required=required,
        needed_for=needed_for,
        observed=observed,
        mend=mend if status != "ok" else "",
        changes=changes if status != "ok" else "",
    )


def _kernel() -> Check:
    system = os.uname()
    return _check("kernel", "everything", f"{system.sysname} {system.release} {system.machine}")


def _trial(feature: trials.Feature) -> str:
    os.environ["PATH"] = command.search_path()  # of the scratch process alone
    if feature.program and shutil.which(feature.program) is None:
        raise HostError(f"not tried: {feature.program} is not installed")
    return feature.trial()


def _waiting(feature: trials.Feature, found: dict[str, Presence]) -> dict[str, Presence]:
    """Return the feature's modules that a trial might load."""
    return {name: found[name] for name in feature.modules if found[name] in (Presence.LOADABLE, Presence.UNSEEN)}


def _namespaces(outcomes: dict[str, scratch.Outcome]) -> list[Check]:
    """Judge the making of namespaces: as the user we are, and when that is root, as another user too."""
    root = os.geteuid() == 0
    checks = [_space(name, outcomes, "every lab", required=True, root=root) for name in _making(root=root)]
    if root and outcomes.get(scratch.SPACES, scratch.Outcome(worked=False, text="")).worked:
        others = scratch.attempt({}, uid=NOBODY)
        failed = next((name for name in _making(root=False) if name not in others or not others[name].worked), "")
        name = failed or scratch.USER
        judged = _space(name, others, "labs of users other than root", required=False, root=False)
        judged["name"] = f"{judged['name']}, for others than root"
        checks.append(judged)
    return checks


def _making(*, root: bool) -> list[str]:
    names = [scratch.USER, scratch.SPACES, scratch.CAPABILITIES, scratch.PROC, scratch.SYS]
    return names[1:] if root else names


def _space(name: str, outcomes: dict[str, scratch.Outcome], needed_for: str, *, required: bool, root: bool) -> Check:
    outcome = outcomes.get(name, scratch.Outcome(worked=False, text="not tried: the one above failed"))
    if outcome.worked:
        return _check(name, needed_for, outcome.text, required=required)
    mend, changes = _mend_spaces(root=root)
    return _check(name, needed_for, outcome.text, status="missing", required=required, mend=mend, changes=changes)


def _mend_spaces(*, root: bool) -> tuple[str, str]:
    """Return what gives us namespaces, and what that changes, by the likeliest reason for their lack."""
    if root:
        return (
            "in a container: start it with --privileged (and a chroot cannot hold a lab)",
            "the container may then do all that the machine's root may",
        )
    for key, bad, good in (
        ("kernel.unprivileged_userns_clone", "0", "1"),
        ("user.max_user_namespaces", "0", "65536"),
        (_APPARMOR, "1", "0"),
    ):
        if _read(key) == bad:
            return f"sudo sysctl -w {key}={good}", _UNHARDEN + "; or run the lab as root instead"
    return "run the lab as root, or in a container started with --privileged", "nothing on the machine"


def _feature(
    feature: trials.Feature,
    outcomes: dict[str, scratch.Outcome],
    waiting: dict[str, Presence],
    found: dict[str, Presence],
) -> Check:
    judge = partial(_check, feature.name, feature.needed_for, required=feature.required)
    if waiting:
        unseen = [name for name, where in waiting.items() if where is Presence.UNSEEN]
        if unseen:
            return judge(
                f"not tried: a container does not see whether the machine could load {', '.join(unseen)}",
                status="limited",
                mend=f"on the machine itself: sudo modprobe -a {' '.join(unseen)}",
                changes="loads these modules until the next boot; nothing else uses them unasked",
            )
        return judge(f"on the disk; the kernel loads it at its first use: {', '.join(waiting)}")
    outcome = outcomes.get(feature.name)
    if outcome is None:
        return judge(
            "not tried: there are no namespaces to try it in", status="missing", mend="see the namespaces above"
        )
    if outcome.worked:
        return judge(outcome.text)
    if outcome.text.startswith("not tried"):
        return judge(
            outcome.text, status="missing", mend=_install(TOOLS[feature.program][1]), changes="installs a package"
        )
    mend, changes = _MENDS.get(feature.name, (_BOOT, ""))
    if feature.name == "br_netfilter" and found["br_netfilter"] is Presence.ABSENT:
        mend, changes = _BOOT, ""
    return judge(outcome.text, status="missing", mend=mend, changes=changes)


def _install(package: str) -> str:
    """Return the command that installs a package: a Debian's, or in words for others."""
    if shutil.which("apt-get"):
        return f"sudo apt-get install {package}"
    return f"install the package that Debian calls {package}"


def _tools() -> list[Check]:
    there = {name: path for name in TOOLS if (path := shutil.which(name, path=command.search_path()))}
    commands = [command.Command(argv=(path, *TOOLS[name][0])) for name, path in there.items()]
    try:
        said = {name: done.stdout + done.stderr for name, done in zip(there, command.run_all(commands), strict=True)}
    except LabError as error:
        said = dict.fromkeys(there, error.message)
    return [_tool(name, said.get(name)) for name in TOOLS]


def _tool(name: str, said: str | None) -> Check:
    _, package, required, needed_for = TOOLS[name]
    if said is None:
        mend = _install(package)
        return _check(
            name,
            needed_for,
            "not installed",
            status="missing",
            required=required,
            mend=mend,
            changes="installs a package",
        )
    version = re.search(r"\d+\.[\w.]*\w", said)
    return _check(name, needed_for, version[0] if version else "installed", required=required)


def _read(key: str) -> str:
    """Return a sysctl's value, "" where the kernel has no such thing."""
    try:
        return sysctl.read(key)
    except LabError:
        return ""


def _sysctls() -> list[Check]:
    """Judge the limits that labs meet; those that this kernel lacks are left out."""
    # key, the least that will do, what a lab needs it for, a value that will do, what raising it changes
    limits = (
        ("user.max_user_namespaces", 1, "labs of users other than root", 65536, _UNHARDEN),
        ("user.max_net_namespaces", 600, "a namespace for each node and pod", 65536, "users may hold more namespaces"),
        ("net.core.wmem_default", 65536, "building in batches", 212992, "sockets may hold more unsent data by default"),
        ("net.ipv4.neigh.default.gc_thresh3", 1024, "large labs: the neighbour table is the machine's", 4096,
         "the kernel may remember more neighbours"),
        ("kernel.pid_max", 4096, "large labs", 32768, "more processes may run at once"),
    )  # fmt: skip
    checks = []
    for key, least, needed_for, enough, changes in limits:
        value = _read(key)
        if value.isdigit():
            status: Status = "ok" if int(value) >= least else "limited"
            mend = f"sudo sysctl -w {key}={enough}"
            checks.append(
                _check(key, needed_for, value, status=status, mend=mend, changes=changes + ", until the next boot")
            )
    return checks


def _memory() -> Check:
    """Judge what /proc/meminfo calls available (proc_meminfo(5))."""
    fields = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines())
    mebibytes = int(fields["MemAvailable"].split()[0]) // 1024
    status: Status = "ok" if mebibytes >= 128 else "limited"  # noqa: PLR2004 - room for a small lab and its tools
    return _check("memory", "large labs", f"{mebibytes} MiB available", status=status, mend="end other programs")
