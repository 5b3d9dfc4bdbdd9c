"""The doctor's judgement, without namespaces; tests/kernel/test_doctor.py has the rest."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lab.errors import KernelError
from lab.kernel import doctor, scratch, sysctl, trials
from lab.kernel.modules import Presence, presence

BR_NETFILTER = next(feature for feature in trials.FEATURES if feature.name == "br_netfilter")
VXLAN = next(feature for feature in trials.FEATURES if feature.name == "VXLAN")
TUN = next(feature for feature in trials.FEATURES if feature.name == "TUN/TAP")
REFUSED = scratch.Outcome(worked=False, text="no such file")


def machine(
    root: Path, *, loaded: str | None = "", disk: str | None = "", built_in: str = "", sys_module: str = ""
) -> Path:
    """Lay out a machine's files: None means that the file is not there."""
    folder = root / "lib/modules" / os.uname().release
    folder.mkdir(parents=True)
    (root / "proc").mkdir()
    if loaded is not None:
        (root / "proc/modules").write_text(loaded)
    if disk is not None:
        (folder / "modules.dep").write_text(disk)
    (folder / "modules.builtin").write_text(built_in)
    if sys_module:
        (root / "sys/module" / sys_module).mkdir(parents=True)
    return root


def test_a_module_on_the_disk_is_loadable_until_it_is_loaded(tmp_path: Path) -> None:
    root = machine(
        tmp_path,
        loaded="veth 45056 0 - Live 0x0\n",
        disk="kernel/drivers/net/veth.ko.zst:\nkernel/net/bridge/br_netfilter.ko.xz: kernel/net/bridge/bridge.ko.xz\n",
    )
    assert presence(["veth", "br_netfilter", "sctp"], root=root) == {
        "veth": Presence.HERE,
        "br_netfilter": Presence.LOADABLE,
        "sctp": Presence.ABSENT,
    }


def test_a_built_in_module_is_here_and_dashes_are_underscores(tmp_path: Path) -> None:
    root = machine(tmp_path, built_in="kernel/net/netfilter/nf-tables.ko\n", sys_module="vxlan")
    assert presence(["nf_tables", "vxlan"], root=root) == {"nf_tables": Presence.HERE, "vxlan": Presence.HERE}


def test_a_container_does_not_see_what_its_machine_could_load(tmp_path: Path) -> None:
    root = machine(tmp_path, loaded="veth 45056 0 - Live 0x0\n", disk=None)
    assert presence(["veth", "sctp"], root=root) == {"veth": Presence.HERE, "sctp": Presence.UNSEEN}


def test_a_kernel_without_loadable_modules_has_all_it_will_ever_have(tmp_path: Path) -> None:
    root = machine(tmp_path, loaded=None, disk=None)
    assert presence(["sctp"], root=root) == {"sctp": Presence.ABSENT}


def test_what_a_trial_would_load_is_not_tried_but_named() -> None:
    found = {"vxlan": Presence.LOADABLE, "br_netfilter": Presence.HERE}
    waiting = doctor._waiting(VXLAN, found)
    assert waiting == {"vxlan": Presence.LOADABLE}
    judged = doctor._feature(VXLAN, {}, waiting, found)
    assert (judged["status"], judged["mend"]) == ("ok", "")
    assert "loads it at its first use: vxlan" in judged["observed"]


def test_an_unseen_module_is_neither_promised_nor_denied() -> None:
    found = {"vxlan": Presence.UNSEEN, "br_netfilter": Presence.HERE}
    judged = doctor._feature(VXLAN, {}, doctor._waiting(VXLAN, found), found)
    assert judged["status"] == "limited"
    assert judged["mend"] == "on the machine itself: sudo modprobe -a vxlan"


def test_loading_br_netfilter_is_said_to_change_the_machines_own_bridges() -> None:
    judged = doctor._feature(BR_NETFILTER, {"br_netfilter": REFUSED}, {}, {"br_netfilter": Presence.LOADABLE})
    assert (judged["status"], judged["required"], judged["mend"]) == ("missing", True, "sudo modprobe br_netfilter")
    assert "own bridges" in judged["changes"]


def test_modprobe_is_not_advised_for_a_module_that_the_kernel_was_built_without() -> None:
    judged = doctor._feature(BR_NETFILTER, {"br_netfilter": REFUSED}, {}, {"br_netfilter": Presence.ABSENT})
    assert "modprobe" not in judged["mend"]
    assert judged["mend"].startswith("no command")


def test_a_refused_trial_shows_the_kernels_words_and_its_own_mend() -> None:
    refused = scratch.Outcome(worked=False, text="/dev/net/tun: Permission denied")
    judged = doctor._feature(TUN, {TUN.name: refused}, {}, {"br_netfilter": Presence.HERE})
    assert judged["observed"] == "/dev/net/tun: Permission denied"
    assert judged["mend"] == "sudo chmod a+rw /dev/net/tun"
    assert judged["changes"]


@pytest.mark.parametrize(
    ("key", "value", "mend"),
    [
        ("kernel.unprivileged_userns_clone", "0", "sudo sysctl -w kernel.unprivileged_userns_clone=1"),
        ("user.max_user_namespaces", "0", "sudo sysctl -w user.max_user_namespaces=65536"),
        (
            "kernel.apparmor_restrict_unprivileged_userns",
            "1",
            "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        ),
    ],
)
def test_void_capabilities_are_mended_by_the_sysctl_that_voids_them(
    monkeypatch: pytest.MonkeyPatch, key: str, value: str, mend: str
) -> None:
    def read(asked: str) -> str:
        if asked == key:
            return value
        raise KernelError(f"sysctl {asked}: No such file or directory (ENOENT)")

    monkeypatch.setattr(sysctl, "read", read)
    void = {
        scratch.USER: scratch.Outcome(worked=True, text="made"),
        scratch.SPACES: scratch.Outcome(worked=True, text="made"),
        scratch.CAPABILITIES: scratch.Outcome(worked=False, text="mount /: Operation not permitted"),
    }
    judged = doctor._space(scratch.CAPABILITIES, void, "every lab", required=True, root=False)
    assert (judged["status"], judged["mend"]) == ("missing", mend)
    assert "until the next boot" in judged["changes"]
    after = doctor._space(scratch.PROC, void, "every lab", required=True, root=False)
    assert after["observed"] == "not tried: the one above failed"


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("iptables-restore v1.8.9 (nf_tables)\n", "1.8.9"),
        ("nftables v1.0.6 (Lester Gooch #5)\n", "1.0.6"),
        ("ip utility, iproute2-6.1.0, libbpf 1.1.2\n", "6.1.0"),
        ("curl 7.88.1 (x86_64-pc-linux-gnu) libcurl/7.88.1\n", "7.88.1"),
        ("GNU bash, version 5.2.15(1)-release\n", "5.2.15"),
        ("nothing that looks like one", "installed"),
    ],
)
def test_a_tools_version_is_read_from_its_first_words(said: str, version: str) -> None:
    assert doctor._tool("nft", said)["observed"] == version


def test_a_missing_tool_names_the_package_that_has_it() -> None:
    judged = doctor._tool("conntrack", None)
    assert judged["status"] == "missing"
    assert judged["mend"].endswith(" conntrack")
