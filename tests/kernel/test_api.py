"""The Python API: labs as contexts, what they answer, and what a failed expectation shows."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest

from lab import api
from lab.errors import KernelError, TopologyError
from lab.standing import session

from .conftest import ROOT

ONE_POD = """
    apiVersion: hairpin/v1alpha1
    kind: Lab
    metadata: {name: inline}
    spec:
      nodes: [node-1]
      expect:
      - {it: the pod answers the node, from: node-1, to: pod/web, answer: {by: web}}
    ---
    apiVersion: v1
    kind: Pod
    metadata: {name: web}
    spec: {containers: [{name: server, ports: [{containerPort: 8080}]}]}
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[api.Lab]:
    """Give the topology clusterip, for all tests here that leave it as it is."""
    with pytest.MonkeyPatch.context() as patch:
        place = tmp_path_factory.mktemp("runtime", numbered=True)
        place.chmod(0o700)
        patch.setenv("XDG_RUNTIME_DIR", str(place))
        patch.delenv("HAIRPIN_LAB", raising=False)
        with api.up("clusterip", mode="iptables") as one:
            yield one


def test_a_reply_says_who_answered_and_whom_it_saw(lab: api.Lab) -> None:
    asker = lab.pod("client-a")
    reply = asker.curl("svc/web")
    assert (reply.status, reply.pod in {"web-1", "web-2"}) == (200, True)
    assert reply.source is not None
    assert (reply.source[0],) == asker.addresses
    assert [one.answered for one in asker.curl("svc/echo", udp=True, count=3)] == [True] * 3
    assert lab.client("client").curl("svc/web", timeout_s=0.2).error == "timeout"


def test_a_nodes_flows_rules_and_counters_are_the_kernels(lab: api.Lab) -> None:
    node = lab.node("node-1")
    before = node.counters()
    reply = lab.pod("client-a").curl("svc/web", local_port=20_001)
    (flow,) = [one for one in node.conntrack(source="client-a") if one.original.sport == 20_001]
    assert (flow.original.dst, flow.dnat, flow.snat) == (ip_address("10.96.0.10"), True, False)
    assert (flow.reply.src,) == lab.pod(reply.pod).addresses
    assert flow in lab.conntrack()
    counted = node.counters() - before
    assert {rule.rpartition("-")[0]: packets for rule, packets in counted.items() if "> KUBE-SVC" in rule} == {
        "KUBE-SERVICES > KUBE-SVC": 1
    }
    assert any("--to-destination 10.244.1.2:8080" in line.text for line in node.rules("web"))
    assert not any("10.244.1.2" in line.text for line in node.rules())


def test_a_command_gives_its_output_and_status_and_hears_its_input(lab: api.Lab) -> None:
    done = lab.node("node-2").exec("cat; hostname; ip -4 -o address show eth0; echo no >&2; exit 3", stdin="hello\n")
    assert done.status == 3
    assert done.stdout.splitlines()[:2] == ["hello", "node-2"]
    assert "192.168.0.11" in done.stdout
    assert done.stderr == "no\n"
    assert lab.pod("web-1").exec("curl -s web/hostname").status == 0


def test_a_command_that_does_not_end_is_ended_with_all_that_it_started(lab: api.Lab) -> None:
    begun = time.monotonic()
    with pytest.raises(KernelError, match="still running after its deadline"):
        lab.node("node-1").exec("sleep 98765 & sleep 98765", timeout_s=0.2)
    assert time.monotonic() - begun < 5
    assert lab.node("node-1").exec("cat /proc/[0-9]*/cmdline | tr '\\0' ' '").stdout.count("sleep 98765") == 0


def test_what_a_command_leaves_behind_serves_until_the_lab_ends(lab: api.Lab) -> None:
    lab.client("client").exec("nc -h >/dev/null 2>&1; sleep 1234 &")
    assert "sleep 1234" in lab.node("node-1").exec("cat /proc/[0-9]*/cmdline | tr '\\0' ' '").stdout


def test_an_expectation_that_holds_returns_its_findings(lab: api.Lab) -> None:
    ((answer, *_, snat),) = lab.expect(
        from_="client-a",
        to="svc/web",
        answer={"by": ("web-1", "web-2"), "source": "client-a"},
        flow={"node": "node-1", "dnat": True, "snat": False},
    )
    assert (answer.it, answer.what, answer.holds) == ("client-a asks svc/web", "answer", True)
    assert (snat.what, snat.holds) == ("SNAT on node-1", True)
    assert lab.expect(from_="client-a", to="svc/web", error="reset", when={"mode": "nftables"}) == ()


def test_a_failed_expectation_shows_flows_and_rules_beside_it(lab: api.Lab) -> None:
    with pytest.raises(api.ExpectationError) as caught:
        lab.expect(
            it="masqueraded", from_="client-a", to="svc/web", local_port=20_002, flow={"node": "node-1", "snat": True}
        )
    told = str(caught.value)
    assert "masqueraded\n   WHAT            EXPECTED" in told
    assert "✗  SNAT on node-1  SNAT      no SNAT: client-a 10.244.1.3:20002" in told
    assert "flows of the request\nnode-1: 1 flow\n" in told
    assert "client-a 10.244.1.3:20002" in told.partition("flows of the request")[2]
    assert "rules of Service web\nnode-1, IPv4, iptables-nft\n" in told
    assert "--to-destination 10.244.1.2:8080" in told
    assert "svc/echo" not in told
    assert isinstance(caught.value, AssertionError)


def test_a_request_that_finds_no_answer_shows_whom_it_would_have_met(lab: api.Lab) -> None:
    with pytest.raises(api.ExpectationError) as caught:
        lab.expect(from_="client", to="node-1:81", error="timeout")
    assert "✗  error  timeout   refused after" in str(caught.value)
    assert "flows of the request: none on any node" in str(caught.value)


def test_that_there_is_no_way_is_waited_for(lab: api.Lab) -> None:
    lab.expect(from_="client-a", to="10.244.2.200:80", error="unreachable")


def test_refused_datagrams_are_told_of_however_many_there_are(lab: api.Lab) -> None:
    replies = lab.node("node-2").curl("web-2:9", udp=True, count=30, timeout_s=1.5)
    assert {reply.error for reply in replies} == {"refused"}


def test_every_mistake_in_an_expectation_is_told_at_once(lab: api.Lab) -> None:
    with pytest.raises(TopologyError) as caught:
        lab.expect(from_="client-a", to="svc/wab", flow={"node": "node-9"})
    assert caught.value.mistakes == (
        "expect: to: there is no Service 'wab'; expected svc/web or svc/echo; did you mean web?",
        "expect: flow.node: there is no node 'node-9'; expected node-1 or node-2; did you mean node-2?",
    )
    with pytest.raises(TopologyError, match="expect: answr: unknown field 'answr'; did you mean answer"):
        lab.expect(from_="client-a", to="svc/web", answr={})  # type: ignore[call-arg] # so it is for who has no types


def test_names_that_mean_nothing_come_with_the_nearest(lab: api.Lab) -> None:
    with pytest.raises(TopologyError, match="did you mean web-1"):
        lab.pod("wbe-1")
    with pytest.raises(TopologyError, match="web-1"):
        lab.pod("web-1").counters()
    assert lab.place("router").name == "router"


def test_the_topologys_own_expectations_raise_with_everything_about_those_that_fail(runtime: Path) -> None:
    with api.up(ONE_POD) as lab:
        assert lab.expect_all().holds
        lab.node("node-1").exec("iptables-nft -A OUTPUT -p tcp --dport 8080 -j REJECT --reject-with tcp-reset")
        assert not lab.check().holds
        with pytest.raises(api.ExpectationError, match="✗  answer  answered by web") as caught:
            lab.expect_all()
        assert [[one.it for one in findings] for findings in caught.value.failed] == [["the pod answers the node"]]
    assert not list(runtime.iterdir())


def test_objects_change_while_it_stands(runtime: Path, tmp_path: Path) -> None:
    (tmp_path / "more.yaml").write_text("apiVersion: v1\nkind: Pod\nmetadata: {name: from-a-file}\n")
    with api.up("clusterip") as lab:
        lab.scale("web", 3)
        lab.condition("web-1", "unready")
        assert {reply.pod for reply in lab.pod("client-a").curl("svc/web", count=30)} == {"web-2", "web-3"}
        lab.apply(tmp_path / "more.yaml")
        done = lab.apply("""
            apiVersion: v1
            kind: Pod
            metadata: {name: from-a-text}
        """)
        assert {pod.metadata.name for pod in done.new.pods} >= {"from-a-file", "from-a-text"}
        assert lab.pod("from-a-text").curl("svc/web").answered
        lab.delete("svc", "web")
        assert [service.metadata.name for service in lab.cluster.services] == ["echo"]
        assert lab.status().healthy
        lab.node("node-1").exec("iptables-nft -t nat -F KUBE-SERVICES")
        assert [one.node for one in lab.drift()] == ["node-1"]
        lab.sync()
        assert lab.drift() == ()
    assert not list(runtime.iterdir())


@pytest.mark.usefixtures("runtime")
def test_rules_of_nftables_mode_do_not_count_and_nobody_is_left_to_believe_so() -> None:
    with api.up("clusterip", mode="nftables", name="mine") as lab:
        assert (lab.name, lab.cluster.mode, api.attach().name) == ("mine", "nftables", "mine")
        with pytest.raises(TopologyError, match="do not count packets"):
            lab.node("node-1").counters()
        with pytest.raises(TopologyError, match="are of iptables mode, and this lab is in nftables mode"):
            lab.expect(from_="client-a", to="svc/web", rules={"node": "node-1", "hit": ["KUBE-SVC > KUBE-SEP"]})
        with pytest.raises(TopologyError, match="'mine' stands already"), api.up("clusterip", name="mine"):
            pass
        assert [row.name for row in session.rows()] == ["mine"]  # what was refused has not ended it


def test_a_lab_ends_with_its_block_however_that_ends_unless_it_is_kept(runtime: Path) -> None:
    with pytest.raises(ZeroDivisionError), api.up(ONE_POD):
        _ = 1 / 0
    with api.up(ONE_POD) as lab:
        session.down(lab.name)  # the block may do so itself
    assert not list(runtime.iterdir())
    with api.up(ONE_POD) as lab:
        lab.keep()
    assert [row.name for row in session.rows()] == [lab.name]
    session.down(lab.name)


FORKED_BESIDE_THREADS = """
import os, sys
from pathlib import Path
from lab import api

class Teller:
    def find_spec(self, name, path=None, target=None):
        if os.getpid() != me:
            os.write(2, f"{name} is imported in a child".encode())

me = os.getpid()
sys.meta_path.insert(0, Teller())
for mode in ("iptables", "nftables"):
    with api.up("clusterip", mode=mode) as lab:
        pod, node = lab.pod("client-a"), lab.node("node-1")
        assert pod.curl("svc/web", local_port=20_000).answered and pod.curl("svc/web").answered
        node.exec("true"), node.rules("web"), node.conntrack(), lab.status(), lab.logs(), lab.drift(), lab.sync()
        if mode == "iptables":
            node.counters()
        step = {"it": "later", "change": {"web-1": "unready"}, "answer": {"by": "web-2"}}
        lab.expect(from_="client-a", to="svc/web", mark={"node": "node-1", "is": 0}, then=[step])
        lab.expect(from_="client-a", to="svc/web", flow={"node": "node-1"})
        lab.scale("web", 3)
        with lab.capture(sys.argv[1] + mode):
            pass
        try:
            lab.expect(from_="client-a", to="svc/web", error="reset")
        except api.ExpectationError:
            pass
"""


@pytest.mark.usefixtures("runtime")
def test_children_import_nothing_so_that_threads_do_no_harm(tmp_path: Path) -> None:
    """A child that is forked amid another thread's import would wait for ever for the lock which that one holds."""
    argv = [sys.executable, "-c", FORKED_BESIDE_THREADS, str(tmp_path / "packets")]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.usefixtures("runtime")
def test_a_part_of_a_real_clusters_objects_stands_as_a_lab() -> None:
    with api.up(ROOT / "tests/golden/cluster/kubeadm.yaml", from_=True, only=["shop"], mode="nftables") as lab:
        assert {pod.metadata.namespace for pod in lab.cluster.pods} == {"shop"}
        assert lab.pod("shop/frontend-5c9d8f7b6d-2fnm8").curl("svc/shop/cart").pod.startswith("shop/cart-")


def test_a_choice_from_a_topology_is_refused() -> None:
    with (
        pytest.raises(TopologyError, match="--only and --limit choose from a cluster's objects"),
        api.up("clusterip", only=["default"]),
    ):
        pass


@pytest.mark.usefixtures("runtime")
def test_commands_of_containers_run_if_they_shall() -> None:
    container = "{name: job, command: [env], env: [{name: WORDS, value: served}]}"
    text = (
        ONE_POD.partition("      expect:")[0]
        + f"""
    ---
    apiVersion: v1
    kind: Pod
    metadata: {{name: one}}
    spec: {{containers: [{container}]}}
    """
    )
    for wanted in (False, True):
        with api.up(text, run_commands=wanted) as lab:
            deadline = time.monotonic() + 10
            while wanted and time.monotonic() < deadline and not any("exited" in line for line in lab.logs()):
                pass
            assert any("[job] WORDS=served" in line for line in lab.logs()) is wanted
