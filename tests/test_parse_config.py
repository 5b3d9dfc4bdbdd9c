"""kube-proxy's configuration is read as kube-proxy reads it: its defaults, its rules, and what it reads over."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab import topology
from lab.errors import TopologyError
from lab.model.proxy_config import KubeProxyConfiguration
from lab.parse import cluster_files

HEAD = {"apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration"}
KUBEADM = """\
apiVersion: kubeproxy.config.k8s.io/v1alpha1
bindAddress: 0.0.0.0
bindAddressHardFail: false
clientConnection:
  acceptContentTypes: ""
  burst: 0
  contentType: ""
  kubeconfig: /var/lib/kube-proxy/kubeconfig.conf
  qps: 0
clusterCIDR: 10.244.0.0/16
configSyncPeriod: 0s
conntrack:
  maxPerCore: null
  min: null
  tcpBeLiberal: false
  tcpCloseWaitTimeout: null
  tcpEstablishedTimeout: null
  udpStreamTimeout: 0s
  udpTimeout: 0s
detectLocal:
  bridgeInterface: ""
  interfaceNamePrefix: ""
detectLocalMode: ""
enableProfiling: false
healthzBindAddress: ""
hostnameOverride: ""
iptables:
  localhostNodePorts: null
  masqueradeAll: false
  masqueradeBit: null
  minSyncPeriod: 0s
  syncPeriod: 0s
ipvs:
  excludeCIDRs: null
  minSyncPeriod: 0s
  scheduler: ""
  strictARP: false
  syncPeriod: 0s
  tcpFinTimeout: 0s
  tcpTimeout: 0s
  udpTimeout: 0s
kind: KubeProxyConfiguration
logging:
  flushFrequency: 0
  options:
    json:
      infoBufferSize: "0"
    text:
      infoBufferSize: "0"
  verbosity: 0
metricsBindAddress: ""
mode: ""
nftables:
  masqueradeAll: false
  masqueradeBit: null
  minSyncPeriod: 0s
  syncPeriod: 0s
nodePortAddresses: null
oomScoreAdj: null
portRange: ""
showHiddenMetricsForVersion: ""
winkernel:
  enableDSR: false
  forwardHealthCheckVip: false
  networkName: ""
  rootHnsEndpointName: ""
  sourceVip: ""
"""


def configured(**fields: Any) -> str:
    return yaml.safe_dump({**HEAD, **fields})


def read(text: str) -> tuple[KubeProxyConfiguration, tuple[str, ...]]:
    found = cluster_files.read([(text.encode(), "config")])
    (one,) = found.settings
    return one, found.unknown


def test_what_kubeadm_writes_has_no_mistake_and_no_unknown_field() -> None:
    settings, unknown = read(KUBEADM)
    assert settings == KubeProxyConfiguration(
        bind_address="0.0.0.0",  # noqa: S104 - nothing binds to it
        cluster_cidr="10.244.0.0/16",
        conntrack=settings.conntrack,
    )
    assert unknown == ()


def config_map(write: Callable[[Any], str], **data: str) -> str:
    return write({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kube-proxy"}, "data": data})


@pytest.mark.parametrize("write", [yaml.safe_dump, json.dumps], ids=["yaml", "json"])
@pytest.mark.parametrize("key", ["config.conf", "config", "kube-proxy.yaml"], ids=["kubeadm", "eks", "something else"])
@pytest.mark.parametrize("inner", [KUBEADM, json.dumps({**HEAD, "clusterCIDR": "10.244.0.0/16"}), "---\n" + KUBEADM])
def test_a_config_map_may_call_it_as_it_likes(write: Callable[[Any], str], key: str, inner: str) -> None:
    kubeconfig = "apiVersion: v1\nkind: Config\nclusters: []\n"
    other = config_map(write, script="grep 'KubeProxyConfiguration' x # kind of\n")
    whole = config_map(write, **{key: inner, "kubeconfig.conf": kubeconfig})
    found = cluster_files.read([(whole.encode(), "a"), (other.encode(), "b")])
    assert [one.cluster_cidr for one in found.settings] == ["10.244.0.0/16"]
    assert found.skipped == {"ConfigMap": 1}


def test_a_mistake_in_a_config_map_names_the_key_and_the_line_in_it() -> None:
    with pytest.raises(TopologyError, match=r"^a, config.conf:3:7: mode: 'ipvs' is not supported"):
        cluster_files.read([(config_map(yaml.safe_dump, **{"config.conf": configured(mode="ipvs")}).encode(), "a")])


def test_unknown_fields_are_read_over_and_said() -> None:
    settings, unknown = read(configured(clusterCIDr="x", iptables={"masqueradeAl": True}, mode="nftables"))
    assert settings.mode == "nftables"
    assert [one.partition(": it is")[0] for one in unknown] == [
        "config:2:1: clusterCIDr: no such field is known",
        "config:4:3: iptables.masqueradeAl: no such field is known",
    ]
    assert [one.rpartition("; ")[2] for one in unknown] == ["did you mean clusterCIDR?", "did you mean masqueradeAll?"]


GOOD: list[dict[str, Any]] = [
    {"nodePortAddresses": []},
    {"nodePortAddresses": ["primary"]},
    {"nodePortAddresses": ["10.0.0.1/8", "fd00::/64", "127.0.0.0/08"]},
    {"clusterCIDR": "10.244.1.0/16"},
    {"clusterCIDR": "fd00:10:244::/56,10.244.0.0/16"},
    {"clusterCIDR": "whatever", "detectLocalMode": "NodeCIDR"},
    {"detectLocalMode": "BridgeInterface", "detectLocal": {"bridgeInterface": "cbr0"}},
    {"bindAddress": "::"},
    {"bindAddress": "010.0.0.1"},
    {"healthzBindAddress": "10.0.0.1", "metricsBindAddress": "fd00::1"},
    {"healthzBindAddress": "10.0.0.1:80", "metricsBindAddress": "[::]:10249"},
    {"iptables": {"syncPeriod": "1m0s", "minSyncPeriod": "60s", "masqueradeBit": 31}},
    {"iptables": {"minSyncPeriod": "30s"}},
    {"nftables": {"syncPeriod": "1s", "minSyncPeriod": "1h"}},  # iptables mode does not look there
    {"conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "1h30m", "udpTimeout": "0"}},
    {"conntrack": {"tcpCloseWaitTimeout": "1.5h", "udpStreamTimeout": ".5s"}},
    {"oomScoreAdj": -999},
    {"featureGates": {"SomethingNew": True}},
    {"mode": "iptables"},
]
BAD: list[tuple[dict[str, Any], str]] = [
    ({"mode": "ipvs"}, "mode: 'ipvs' is not supported: kube-proxy gave IPVS up"),
    ({"mode": "kernelspace"}, "mode: 'kernelspace' is not supported: it is for Windows"),
    ({"mode": "userspace"}, "mode: 'userspace' is not supported: kube-proxy dropped it"),
    ({"mode": "IPTables"}, "mode: 'IPTables' is not known; expected iptables or nftables; did you mean iptables"),
    ({"bindAddress": "eth0"}, "bindAddress: not an address: 'eth0'"),
    ({"nodePortAddresses": ["10.0.0.1"]}, r"nodePortAddresses\[0\]: not a range: '10.0.0.1'; expected .* 10.0.0.1/32 "),
    ({"nodePortAddresses": [" 10.0.0.0/8"]}, r"nodePortAddresses\[0\]: not a range: .* has spaces"),
    ({"nodePortAddresses": ["10.0.0.0/8", "primary"]}, r"nodePortAddresses\[1\]: primary stands beside other"),
    ({"nodePortAddresses": "primary"}, "nodePortAddresses: 'primary' is not a list"),
    ({"clusterCIDR": "10.244.0.0"}, "clusterCIDR: not a range"),
    ({"clusterCIDR": "10.244.0.0/16, fd00::/56"}, "clusterCIDR: not a range: ' fd00::/56' has spaces"),
    ({"clusterCIDR": "10.244.0.0/16,10.245.0.0/16"}, "clusterCIDR: .* is not a range of each family"),
    ({"clusterCIDR": "10.0.0.0/8,fd00::/8,fe00::/8"}, "clusterCIDR: .* is not a range of each family"),
    ({"detectLocalMode": "Bridge"}, "detectLocalMode: 'Bridge' is not known; expected BridgeInterface, ClusterCIDR"),
    ({"detectLocalMode": "BridgeInterface"}, "detectLocal.bridgeInterface: it is empty"),
    ({"detectLocalMode": "InterfaceNamePrefix"}, "detectLocal.interfaceNamePrefix: it is empty"),
    ({"healthzBindAddress": ":10256"}, "healthzBindAddress: not an address with a port"),
    ({"healthzBindAddress": "::1:10256"}, "healthzBindAddress: not an address with a port"),
    ({"metricsBindAddress": "10.0.0.1:0"}, "metricsBindAddress: not an address with a port"),
    ({"metricsBindAddress": "10.0.0.1:65536"}, "metricsBindAddress: not an address with a port"),
    ({"configSyncPeriod": "-1s"}, "configSyncPeriod: not a duration: '-1s'"),
    ({"iptables": {"syncPeriod": 30}}, "iptables.syncPeriod: 30 is not a text"),
    ({"iptables": {"syncPeriod": "30"}}, "iptables.syncPeriod: not a duration: '30'"),
    ({"iptables": {"minSyncPeriod": "31s"}}, "iptables.minSyncPeriod: 31s is longer than syncPeriod, 30s"),
    ({"mode": "nftables", "nftables": {"syncPeriod": "10s", "minSyncPeriod": "1m"}}, "nftables.minSyncPeriod: 1m is"),
    ({"iptables": {"masqueradeBit": 32}}, "iptables.masqueradeBit: 32 is out of range"),
    ({"nftables": {"masqueradeBit": -1}}, "nftables.masqueradeBit: -1 is out of range"),
    ({"conntrack": {"maxPerCore": -1}}, "conntrack.maxPerCore: -1 is out of range"),
    ({"conntrack": {"udpTimeout": "1d"}}, "conntrack.udpTimeout: not a duration: '1d'"),
    ({"conntrack": {"tcpEstablishedTimeout": ""}}, "conntrack.tcpEstablishedTimeout: not a duration: ''"),
    ({"oomScoreAdj": 1001}, "oomScoreAdj: 1001 is out of range"),
    ({"featureGates": {"A": "true"}}, "featureGates.A: 'true' is not true or false"),
]


@pytest.mark.parametrize("fields", GOOD, ids=str)
def test_what_kube_proxy_takes_is_taken(fields: dict[str, Any]) -> None:
    assert read(configured(**fields))[1] == ()


@pytest.mark.parametrize(("fields", "words"), BAD, ids=str)
def test_what_kube_proxy_would_refuse_is_refused_with_its_place(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(TopologyError, match=rf"^config:\d+:\d+: {words}") as caught:
        read(configured(**fields))
    assert len(caught.value.mistakes) == 1


LAB = "apiVersion: hairpin/v1alpha1\nkind: Lab\nmetadata: {name: x}\nspec: {nodes: [a]}\n---\n"


@pytest.mark.parametrize(("fields", "words"), BAD, ids=str)
def test_a_topology_is_judged_by_the_same_rules(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(TopologyError, match=rf"lab:\d+:\d+: {words}"):
        topology.read(LAB + configured(**fields), "lab")


def test_several_configurations_or_none_are_not_one(tmp_path: Path) -> None:
    file = tmp_path / "config"
    for text, words in (
        (f"{KUBEADM}---\n{KUBEADM}", "there is 2"),
        ("kind: ConfigMap\napiVersion: v1\n", "there is no"),
    ):
        file.write_text(text)
        with pytest.raises(TopologyError, match=words):
            cluster_files.settings(str(file))
