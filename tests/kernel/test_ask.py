"""Commands that ask a lab which stands: lab.curl and lab.conntrack, lab.logs and lab.report, as text and as JSON."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.kernel.printed import data, refused

from .conftest import ROOT, Invoke, lab_of_module

UNREACHABLE = "203.0.113.7"


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Invoke]:
    """Give tasks on a lab that several tests look at: clusterip, its Service web also on node port 30080."""
    file = tmp_path_factory.mktemp("topology") / "lab.yaml"
    text = (ROOT / "topologies/clusterip/lab.yaml").read_text()
    node_port = "- {name: http, port: 80, targetPort: http, nodePort: 30080}\n  type: NodePort"
    file.write_text(text.replace("- {name: http, port: 80, targetPort: http}", node_port))
    with lab_of_module(tmp_path_factory, str(file)) as run:
        unreachable = run("lab.exec", "node-1", f"ip route add unreachable {UNREACHABLE}")
        assert unreachable.returncode == 0, unreachable.stderr
        yield run


# --- lab.status, lab.logs, lab.report, lab.doctor --------------------------------------------------------------------


def test_status_shows_nodes_pods_services_and_endpoints(standing: Invoke) -> None:
    status = data(standing("lab.status", "--json"))
    web = next(service for service in status["services"] if service["name"] == "web")
    assert (web["type"], web["cluster_ips"], web["ports"][0]["node_port"]) == ("NodePort", ["10.96.0.10"], 30080)
    assert [end["pod"] for end in web["ports"][0]["endpoints"]] == ["web-1", "web-2"]
    assert [client["name"] for client in status["clients"]] == ["client"]
    assert "30080" in standing("lab.status").stdout


def test_logs_have_a_line_for_each_request_that_a_pod_served(standing: Invoke) -> None:
    for pod in ("web-1", "web-2", "web-1"):
        assert standing("lab.curl", "client-a", f"http://{pod}:8080/hostname").returncode == 0
    lines = data(standing("lab.logs", "--pod", "web-1", "--tail", "2", "--json"))
    assert len(lines) == 2
    assert all(re.fullmatch(r"\S+Z web-1 tcp 10\.244\.1\.3:\d+ -> 10\.244\.1\.2:8080 /hostname 200", x) for x in lines)
    assert standing("lab.logs", "--pod", "web-1", "--tail", "2").stdout.splitlines() == lines
    every = standing("lab.logs").stdout
    assert " web-2 " in every
    assert every.endswith(f"{lines[-1]}\n")


def test_logs_of_what_has_none_say_why(standing: Invoke) -> None:
    silent = standing("lab.logs", "--pod", "client-a")
    assert (silent.returncode, silent.stdout) == (0, "")
    assert silent.stderr.startswith("no line yet of client-a")
    assert refused(standing("lab.logs", "--pod", "node-1")).startswith("node-1 is a node; expected a pod")
    assert refused(standing("lab.logs", "--tail", "-1")) == "--tail -1: expected 0, for every line, or how many"
    assert refused(standing("lab.logs", "--tail", "x")) == "--tail 'x': expected a whole number"


def test_the_report_has_versions_objects_rules_and_flows(standing: Invoke) -> None:
    assert standing("lab.curl", "client-a", "svc/web", "--local-port", "41999").returncode == 0
    done = standing("lab.report", "--file", "-")
    assert (done.returncode, done.stderr) == (0, "")
    parts = {part.partition("\n")[0]: part.partition("\n")[2] for part in done.stdout.split("===== ")[1:]}
    assert "hairpin " in parts["versions"]
    assert "kernel " in parts["versions"]
    assert "iptables" in parts["machine"]
    assert "web-1" in parts["status"]
    assert "41999" in parts["flows"]
    assert "10.244.1.3:41999" in parts["log"]
    assert "-A KUBE-SERVICES -d 10.96.0.10/32" in parts["node-1: iptables-nft-save -c"]
    assert "default via 10.244.1.1" in parts["client-a: ip route show table all"]
    assert '"apiVersion": "apps/v1"' in parts["objects"]


# --- lab.curl --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "to", "seen"),
    [
        ("client-a", "svc/web", "client-a"),
        ("pod/client-a", "svc/web:80", "client-a"),
        ("pod/default/client-a", "svc/web:http", "client-a"),
        ("client-a", "pod/web-2", "client-a"),
        ("client-a", "web-2:8080", "client-a"),
        ("client-a", "10.96.0.10:80", "client-a"),
        ("client-a", "http://web/", "client-a"),
        ("client-a", "http://10.96.0.10:80/", "client-a"),
        ("client", "node-1:30080", "node-1"),
        ("client", "192.168.0.11:30080", "node-2"),
        ("client/client", "http://192.168.0.11:30080/", "node-2"),
        ("node-1", "web", "node-1"),
    ],
)
def test_who_asks_and_whom_can_be_said_in_many_ways(standing: Invoke, source: str, to: str, seen: str) -> None:
    asked = data(standing("lab.curl", source, to, "--json"))
    (reply,) = asked["replies"]
    assert asked["how"] == "curl"
    assert (reply["status"], reply["error"]) == (200, "")
    assert reply["pod"] in {"web-1", "web-2"}
    assert reply["source"]["name"].partition("/")[0] == seen
    assert reply["latency_s"] > 0


def test_one_reply_is_a_row_that_says_it_all(standing: Invoke) -> None:
    done = standing("lab.curl", "client-a", "pod/web-2")
    assert (done.returncode, done.stderr) == (0, "")
    header, row = done.stdout.splitlines()
    assert header.split("  ")[0] == "STATUS"
    assert re.fullmatch(r"200 +web-2 +node-2 +client-a 10\.244\.1\.3:\d+ +[\d.]+ m?s", row)


def test_the_udp_server_is_asked_by_udp(standing: Invoke) -> None:
    asked = data(standing("lab.curl", "client-a", "svc/echo", "--udp", "--json"))
    assert asked["how"] == "sockets"
    assert asked["replies"][0]["pod"] in {"web-1", "web-2"}
    assert asked["replies"][0]["source"]["name"] == "client-a"
    assert refused(standing("lab.curl", "client-a", "svc/web", "--udp")) == (
        "svc/web declares no udp port, but 80/tcp; expected to be asked by tcp (no --udp)"
    )


def test_the_port_can_be_an_option(standing: Invoke) -> None:
    asked = data(standing("lab.curl", "client-a", "pod/web-1", "--port", "8080", "--json"))
    assert asked["replies"][0]["pod"] == "web-1"


def test_a_local_port_can_be_taken_again_and_again(standing: Invoke) -> None:
    for count in (1, 1, 3):
        done = standing("lab.curl", "client-a", "svc/web", "--local-port", "40123", "--count", str(count), "--json")
        asked = data(done)
        assert asked["answered"] == count
        assert {reply["source"]["port"] for reply in asked["replies"]} == {40123}


@pytest.mark.parametrize(("count", "how"), [(60, "curl"), (300, "sockets of our own, not curl")])
def test_many_requests_show_the_share_of_each_endpoint_and_how_they_were_made(
    standing: Invoke, count: int, how: str
) -> None:
    done = standing("lab.curl", "client-a", "svc/web", "--count", str(count))
    assert done.stderr == f"{count} requests by {how}\n"
    shares = re.findall(r"^(web-\d) +(\d+) +[\d.]+ % +(\d+) to (\d+)$", done.stdout, re.MULTILINE)
    assert [pod for pod, *_ in shares] == ["web-1", "web-2"]
    assert sum(int(number) for _, number, *_ in shares) == count
    assert all(int(low) <= int(number) <= int(high) for _, number, low, high in shares)
    assert f"{count} of {count} requests answered; latency: median " in done.stdout


@pytest.mark.parametrize(
    ("source", "to", "error"),
    [
        ("client-a", "svc/web:81", "timeout"),
        ("client-a", "web-1:9", "refused"),
        ("node-1", f"{UNREACHABLE}:80", "unreachable"),
    ],
)
def test_what_was_not_answered_is_told_apart(standing: Invoke, source: str, to: str, error: str) -> None:
    done = standing("lab.curl", source, to, "--timeout", "0.5")
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.splitlines()[1].split()[:2] == [error, "-"]
    asked = data(standing("lab.curl", source, to, "--timeout", "0.5", "--json"), 1)
    assert (asked["answered"], asked["replies"][0]["error"]) == (0, error)
    waited = asked["replies"][0]["latency_s"]
    assert (waited > 0.45) is (error == "timeout")  # curl(1) may give up a hair early
    assert waited < 5  # which would be the default


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--count", "0"), "--count 0: expected 1 to 1000000"),
        (("--count", "many"), "--count 'many': expected a whole number"),
        (("--timeout", "-1"), "--timeout -1.0: expected more than 0 and at most 3600 seconds"),
        (("--timeout", "nan"), "--timeout nan: expected more than 0 and at most 3600 seconds"),
        (("--timeout", "soon"), "--timeout 'soon': expected a number"),
        (("--local-port", "99999"), "--local-port 99999: expected a port, 1 to 65535"),
        (("--local-port", "0x10"), "--local-port '0x10': expected a whole number"),
        (("--local-port", "0"), "--local-port 0: expected a port, 1 to 65535"),
        (("--port", "0"), "--port 0: expected a port, 1 to 65535"),
        (("--port", "99999"), "'svc/web': '99999' is not a port; expected a number from 1 to 65535"),
        (
            ("--count", "0", "--timeout", "0"),
            "--count 0: expected 1 to 1000000\n--timeout 0.0: expected more than 0 and at most 3600 seconds",
        ),
    ],
)
def test_a_number_that_makes_no_sense_is_refused(standing: Invoke, words: tuple[str, ...], message: str) -> None:
    assert refused(standing("lab.curl", "client-a", "svc/web", *words)) == message


@pytest.mark.parametrize(
    ("source", "to", "message"),
    [
        ("-x", "svc/web", "'-x' cannot be a place: it begins with '-'"),
        ("client-a", "-x", "'-x' cannot be a destination: it begins with '-'"),
        ("", "svc/web", "an empty text cannot be a place"),
        ("client-b", "svc/web", "did you mean client-a?"),
        ("client-a", "svc/wep", "there is no Service 'wep'; expected svc/web or svc/echo; did you mean web?"),
        ("client-a", "svc/web:htp", "did you mean http?"),
        ("client-a", "https://web/", "'https' is not spoken here; expected http"),
    ],
)
def test_a_place_that_there_is_not_is_told_with_the_nearest(
    standing: Invoke, source: str, to: str, message: str
) -> None:
    assert message in refused(standing("lab.curl", source, to))


# --- lab.conntrack ---------------------------------------------------------------------------------------------------


def _flow(invoke: Invoke, node: str, port: int) -> Any:
    """Return the one flow of `node` that comes from the client's port `port`."""
    flows = data(invoke("lab.conntrack", "--node", node, "--json"))
    (found,) = [flow for flow in flows if flow["original"]["sport"] == port and flow["protocol"] == "tcp"]
    return found


def test_conntrack_shows_dnat_without_snat_for_a_pod(standing: Invoke) -> None:
    reply = data(standing("lab.curl", "client-a", "svc/web", "--local-port", "42001", "--json"))["replies"][0]
    flow = _flow(standing, "node-1", 42001)
    assert (flow["dnat"], flow["snat"]) == (True, False)
    text = standing("lab.conntrack", "--node", "node-1").stdout
    rows = re.search(r"^tcp +client-a 10\.244\.1\.3:42001 .*\n.*$", text, re.MULTILINE)
    assert rows
    assert f"DNAT {reply['pod']}" in rows[0]
    assert "SNAT" not in rows[0]
    assert "-> svc/web 10.96.0.10:80" in rows[0]
    assert "TIME_WAIT" in rows[0]


def test_conntrack_shows_dnat_and_snat_for_an_outsider(standing: Invoke) -> None:
    assert standing("lab.curl", "client", "node-2:30080", "--local-port", "42002").returncode == 0
    flow = _flow(standing, "node-2", 42002)
    assert (flow["dnat"], flow["snat"]) == (True, True)
    text = standing("lab.conntrack", "--node", "node-2").stdout
    rows = re.search(r"^tcp +client 198\.51\.100\.10:42002 .*\n.*$", text, re.MULTILINE)
    assert rows
    assert re.search(r"DNAT web-[12]", rows[0])
    assert "SNAT node-2" in rows[0]


def test_conntrack_shows_every_node_or_the_one_that_is_named(standing: Invoke) -> None:
    every = standing("lab.conntrack").stdout
    assert "node-1: " in every
    assert "node-2: " in every
    assert "node-2: " not in standing("lab.conntrack", "--node", "node-1").stdout


def test_conntrack_of_what_is_no_node_is_refused(standing: Invoke) -> None:
    assert "did you mean node-" in refused(standing("lab.conntrack", "--node", "node-9"))
    assert (
        refused(standing("lab.conntrack", "--node", "web-1")) == "there is no node 'web-1'; expected node-1 or node-2"
    )
