"""`proxy.render` prints what a kernel takes: kube-proxy's rules, and nothing foreign, whatever the objects hold."""

from __future__ import annotations

import json
import re
import shlex
from collections import Counter
from collections.abc import Callable, Iterator
from copy import deepcopy
from itertools import product, zip_longest
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.cli import namespace
from lab.errors import TopologyError
from lab.kernel import command, rules
from lab.model.address import FAMILIES, Family
from lab.model.lab import Mode, Release
from lab.model.nft_ruleset import NftRuleset
from lab.model.ruleset import BUILT_IN
from lab.parse import cluster_files
from lab.proxy.iptables import INVALID_COUNTER
from lab.proxy.iptables_words import LOCALHOST_COUNTER
from lab.proxy.node import render
from tests.test_proxy_oracle import CASES, SAVED, UNORDERED, chains

from .test_oracle_nftables import view

Inside = Callable[..., Any]
Capture = pytest.CaptureFixture[str]
COUNTERS = (INVALID_COUNTER, LOCALHOST_COUNTER)


# --- the task, in every golden case -----------------------------------------------------------------------------------


def printed(capsys: Capture, case: Path, mode: Mode, family: Family, *, no_counters: bool = False) -> str:
    """Return what the task prints of a case."""
    namespace["proxy.render"].body(
        None,
        objects=[str(case / "objects.yaml")],
        config=str(case / "proxy.yaml"),
        mode=mode,
        family=family,
        no_counters=no_counters,
    )
    return capsys.readouterr().out


def load_iptables(text: str, family: Family, *, counters: bool) -> str:
    program = "iptables-nft" if family == "ipv4" else "ip6tables-nft"
    if counters:
        rules.add_counters("", COUNTERS)
    command.check((f"{program}-restore",), netns="", stdin=text, timeout_s=30)
    return rules.save("", "iptables-nft", family)


def load_legacy(text: str, family: Family) -> str:
    """Load rules that iptables-nft may refuse as empty (`! -s 0.0.0.0/0`), whatever they are."""
    rules.restore([rules.Load(netns="", tool="iptables-legacy", family=family, text=text)])
    return rules.save("", "iptables-legacy", family)


def load_nft(text: str) -> list[dict[str, dict[str, Any]]]:
    command.check(("nft", "-f", "-"), netns="", stdin=text, timeout_s=30)
    listing: list[dict[str, dict[str, Any]]]
    listing = json.loads(command.check(("nft", "-j", "list", "ruleset"), netns=""))["nftables"]
    return listing


def comparable(dump: str) -> dict[tuple[str, str], list[str]]:
    """Return the rules of each chain, sorted where their order is chance."""
    plain = re.sub(r"(?m)^\[\d+:\d+\] | \[\d+:\d+\]$", "", dump)
    found = chains(plain)
    return {
        place: sorted(held, key=lambda rule: ("must be the last" in rule, rule)) if place[1] in UNORDERED else held
        for place, held in found.items()
    }


@pytest.mark.parametrize("case", sorted(CASES.iterdir()), ids=lambda case: case.name)
def test_iptables_restore_makes_of_it_what_kube_proxy_had_made(inside: Inside, capsys: Capture, case: Path) -> None:
    counters = inside(rules.nfacct_available)
    for family in FAMILIES:
        text = printed(capsys, case, "iptables", family, no_counters=not counters)
        golden = (case / SAVED[family]).read_text()
        if not counters:  # as kube-proxy leaves them out
            golden = re.sub(rf"-m nfacct --nfacct-name  {INVALID_COUNTER} |.*{LOCALHOST_COUNTER}.*\n", "", golden)
        assert comparable(inside(load_iptables, text, family, counters=counters)) == comparable(golden)


@pytest.mark.parametrize("case", sorted(CASES.iterdir()), ids=lambda case: case.name)
def test_nft_makes_of_it_what_kube_proxy_had_made(inside: Inside, capsys: Capture, case: Path) -> None:
    text = "".join(printed(capsys, case, "nftables", family) for family in FAMILIES)
    golden = json.loads((case / "nft.json").read_text(encoding="utf-8"))
    assert view(inside(load_nft, text)) == view(golden)


# --- hostile objects --------------------------------------------------------------------------------------------------

EVIL = "evil"
HOSTILE: tuple[Any, ...] = (
    f'x" -j ACCEPT\n-A INPUT -m comment --comment "{EVIL}',
    f"x\nCOMMIT\n*filter\n:{EVIL.upper()} - [0:0]\nCOMMIT\n",
    f"x -j {EVIL}",
    f"x; }} table ip {EVIL} {{ chain x {{ accept; }} }}",
    f'x" ; add table ip {EVIL} #',
    f"10.0.0.1\n-A INPUT -j ACCEPT # {EVIL}",
    f"10.0.0.0/8 -j {EVIL}",
    f"10.0.0.1 accept ; add table ip {EVIL}",
    f"`touch /{EVIL}`",
    f"$(touch /{EVIL})",
    f'include "/etc/{EVIL}"',
    f"veth0 -j {EVIL}",
    f"eth0\t{EVIL}",
    f"fe80::1%{EVIL}",
    f"::ffff:10.0.0.1/{EVIL}",
    "a\\",
    "a\0b",
    "-j",
    "--comment",
    "",
    "A" * 300,
    "\u2028",
    "0x7f.1",
    "010.0.0.1",
    "1.2.3.4/33",
    "127.0.0.1",
    "0.0.0.0/0",
    -1,
    0,
    65536,
    2**40,
    "80",
    None,
    [],
    {},
    True,
)
OBJECTS: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "List",
    "items": [
        {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": "node-1", "labels": {"topology.kubernetes.io/zone": "a"}},
            "spec": {"podCIDR": "10.244.1.0/24", "podCIDRs": ["10.244.1.0/24", "fd00:10:244:1::/64"]},
            "status": {
                "addresses": [
                    {"type": "InternalIP", "address": "192.168.0.10"},
                    {"type": "InternalIP", "address": "fd00:192::10"},
                ]
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "web", "namespace": "default", "labels": {"a": "b"}},
            "spec": {
                "type": "LoadBalancer",
                "clusterIP": "10.96.0.10",
                "clusterIPs": ["10.96.0.10", "fd00:10:96::10"],
                "ipFamilies": ["IPv4", "IPv6"],
                "externalIPs": ["203.0.113.7", "fd00:203::7"],
                "ports": [{"name": "http", "port": 80, "nodePort": 30080, "protocol": "TCP"}],
                "sessionAffinity": "ClientIP",
                "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 90}},
                "externalTrafficPolicy": "Local",
                "internalTrafficPolicy": "Cluster",
                "loadBalancerSourceRanges": ["198.51.100.0/24", "fd00:198::/64"],
                "healthCheckNodePort": 32000,
            },
            "status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.11", "ipMode": "VIP"}, {"ip": "fd00:203::11"}]}},
        },
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": "web-1", "labels": {"kubernetes.io/service-name": "web"}},
            "addressType": "IPv4",
            "endpoints": [
                {"addresses": ["10.244.1.2"], "nodeName": "node-1", "zone": "a", "hints": {"forZones": [{"name": "a"}]}}
            ],
            "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        },
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": "web-2", "labels": {"kubernetes.io/service-name": "web"}},
            "addressType": "IPv6",
            "endpoints": [{"addresses": ["fd00:10:244:1::2"], "nodeName": "node-1"}],
            "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        },
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "ServiceCIDR",
            "metadata": {"name": "kubernetes"},
            "spec": {"cidrs": ["10.96.0.0/16", "fd00:10:96::/112"]},
        },
    ],
}
CONFIG: dict[str, Any] = {
    "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
    "kind": "KubeProxyConfiguration",
    "hostnameOverride": "node-1",
    "bindAddress": "192.168.0.10",
    "clusterCIDR": "10.244.0.0/16,fd00:10:244::/56",
    "detectLocalMode": "ClusterCIDR",
    "detectLocal": {"bridgeInterface": "cbr0", "interfaceNamePrefix": "veth"},
    "nodePortAddresses": ["192.168.0.0/24", "127.0.0.0/8", "fd00:192::/64"],
    "iptables": {"masqueradeBit": 14, "masqueradeAll": False},
    "nftables": {"masqueradeBit": 14},
}
Path_ = tuple[str | int, ...]


def leaves(value: Any, path: Path_ = ()) -> list[Path_]:
    """Return the path to every leaf but those that say what an object is."""
    if isinstance(value, dict):
        kept = {key: part for key, part in value.items() if key not in ("kind", "apiVersion")}
        return [leaf for key, part in kept.items() for leaf in leaves(part, (*path, key))]
    if isinstance(value, list):
        return [leaf for index, part in enumerate(value) for leaf in leaves(part, (*path, index))]
    return [path]


Edits = list[tuple[tuple[str, Path_], object]]


def put(document: Any, path: Path_, value: object) -> None:
    for step in path[:-1]:
        document = document[step]
    document[path[-1]] = value


DETECT = ("ClusterCIDR", "NodeCIDR", "BridgeInterface", "InterfaceNamePrefix")
DOCUMENTS = {"objects": OBJECTS, "config": CONFIG}
PLACES = [(name, leaf) for name, document in DOCUMENTS.items() for leaf in leaves(document)]
hostile = st.one_of(
    st.sampled_from(HOSTILE),
    st.text(max_size=40),
    st.text(alphabet="ab\"'\n\t -{};#$:/.%\\", max_size=40),
    st.integers(),
)
changes = st.lists(st.tuples(st.sampled_from(PLACES), hostile), min_size=1, max_size=3)


Way = tuple[Mode, Family, Release]
WAYS: list[Way] = [
    *(("iptables", family, release) for family in FAMILIES for release in get_args(Release)),
    *(("nftables", family, "1.36") for family in FAMILIES),
]


def attempts(edits: Edits, detect: str) -> Iterator[tuple[Way, str]]:
    """Yield each way with the rules of the objects with `edits`, "" if they were refused."""
    documents = deepcopy(DOCUMENTS)
    documents["config"]["detectLocalMode"] = detect
    for (name, path), value in edits:
        put(documents[name], path, value)
    files = [(json.dumps(document).encode(), name) for name, document in documents.items()]
    try:
        found = cluster_files.read(files)
    except TopologyError:
        yield from ((way, "") for way in WAYS)
    else:
        yield from ((way, rendered(found, way)) for way in WAYS)


def rendered(found: cluster_files.ClusterFiles, way: Way) -> str:
    """Return their rules in one way, "" if they were refused."""
    mode, family, release = way
    try:
        ruleset = render(
            found.services,
            found.slices,
            found.nodes,
            found.settings[0],
            family,
            mode=mode,
            release=release,
            service_cidrs=found.service_cidrs,
            counters=False,
        )
    except TopologyError:
        return ""
    if isinstance(ruleset, NftRuleset):
        ours(ruleset)
    return ruleset.restore_text()


WORD = re.compile(r"[][A-Za-z0-9_.,:/@+!-]+")
SENTENCE = re.compile(r"[][A-Za-z0-9_.,:;/> -]+")
TARGET = re.compile(r"(KUBE-[A-Z0-9-]+|ACCEPT|DROP|REJECT|RETURN|MARK|MASQUERADE|DNAT)")


def harmless(text: str) -> None:
    """Read rules for iptables as their own grammar, far from any of our code: word by word."""
    for line in text.splitlines():
        if re.fullmatch(r"\*(mangle|filter|nat)|COMMIT|:KUBE-[A-Z0-9-]+ - \[0:0\]", line):
            continue
        append, chain, *words = shlex.split(line)
        assert append == "-A"
        assert re.fullmatch(r"KUBE-[A-Z0-9-]+|PREROUTING|INPUT|FORWARD|OUTPUT|POSTROUTING", chain)
        assert words.count("-j") <= 1
        for before, word in zip([chain, *words], words, strict=False):
            assert (SENTENCE if before == "--comment" else WORD).fullmatch(word)
            assert before != "-j" or TARGET.fullmatch(word)
            assert before != "-A"


def ours(ruleset: NftRuleset) -> None:
    """Every name and rule of a table for nft is one line of harmless letters, its comments apart."""
    for name in (*(one.name for one in ruleset.sets), *(one.name for one in ruleset.chains)):
        assert re.fullmatch(r"[A-Za-z0-9_./-]+", name)
    for chain in ruleset.chains:
        for rule in chain.rules:
            bare = re.sub(r'"[A-Za-z0-9@/:. *_-]*"', "", rule)
            assert re.fullmatch(r"[][A-Za-z0-9_.:/,@&|^=!{} -]+", bare)
            assert bare.count("{") == bare.count("}")


@pytest.fixture(scope="module")
def examples() -> dict[Way, Counter[str]]:
    """Give how often each text of rules came of a hostile object, in each way; "" for those that were refused."""
    texts: dict[Way, Counter[str]] = {way: Counter() for way in WAYS}

    def collect(edits: Edits, detect: str) -> None:
        for way, text in attempts(edits, detect):
            texts[way][text] += 1

    for place, value in product(PLACES, HOSTILE):
        for detect in DETECT if "detectLocal" in place[1] else DETECT[:1]:
            collect([(place, value)], detect)
    bounded = settings(max_examples=200, deadline=None, derandomize=True, database=None)
    bounded(given(changes, st.sampled_from(DETECT))(collect))()
    return texts


@pytest.mark.parametrize("way", WAYS, ids="-".join)
def test_nothing_of_a_hostile_object_becomes_a_rule(
    inside: Inside, examples: dict[Way, Counter[str]], way: Way
) -> None:
    """Each example is refused, or its rules load and hold nothing foreign; all are loaded at once, in turn."""
    mode, family, _ = way
    texts = [text for text in examples[way] if text]
    assert not [text for text in texts if EVIL in text.lower()]
    assert len(texts) > 10, "nearly everything is refused: the test is worth nothing"
    assert examples[way][""] > 100, "nearly nothing is refused"
    if mode == "iptables":
        for text in texts:
            harmless(text)
        dump = inside(load_legacy, "".join(texts), family)
        assert all(name in BUILT_IN or name.startswith("KUBE-") for _, name in chains(dump))
    else:
        table = f"table {'ip' if family == 'ipv4' else 'ip6'} kube-proxy"
        anew = f"{table}\ndelete {table}\n"
        for batch in zip_longest(*[iter(texts)] * 5, fillvalue=""):  # more is too much for an ordinary user
            listing = inside(load_nft, "".join(f"{anew}{text}" for text in batch if text))
            assert [entry["table"]["name"] for entry in listing if "table" in entry] == ["kube-proxy"]
