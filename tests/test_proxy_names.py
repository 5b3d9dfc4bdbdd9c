"""Names in rules are kube-proxy's, and nothing else gets through."""

from __future__ import annotations

from base64 import b32encode
from hashlib import sha256
from ipaddress import IPv6Network, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.errors import TopologyError
from lab.proxy import names


@pytest.mark.parametrize(
    ("name", "endpoint", "expected"),
    [
        # pkg/proxy/iptables/proxier_test.go
        ("ns1/svc1:p80", "", "XPGD46QRK7WJZT7O"),
        ("ns1/svc1:p80", "10.180.0.1:80", "SXIVWICOYRO3J4NJ"),
        ("ns1/svc1:p80", "[fd00:10:180::1]:80", "OGYCNMB4EMRUSJ6N"),
        ("ns1/svc1", "", "AQI2S6QIMU7PVVRP"),
        # the published example behind the topology octopus
        ("octopus/octopus-web:web", "", "A5DEC2RXT22GYINZ"),
        ("octopus/octopus-web:web", "10.179.18.29:8080", "F73MGWMXW3QO5EYA"),
        ("octopus/octopus-web:web", "10.179.18.8:8080", "F6GCOKQ4JCB6DUYR"),
    ],
)
def test_a_chain_is_called_as_kube_proxy_calls_it(name: str, endpoint: str, expected: str) -> None:
    assert names.chain_hash(name, "tcp", endpoint) == expected


@given(st.text(alphabet="abc/:.0123456789", max_size=80))
def test_a_hash_is_the_start_of_base32_of_sha256(text: str) -> None:
    assert names.chain_hash(text, "udp") == b32encode(sha256(f"{text}udp".encode()).digest())[:16].decode()


def test_a_port_without_a_name_leaves_no_colon() -> None:
    assert names.service_port_name("default", "web", "") == "default/web"
    assert names.service_port_name("default", "web", "http") == "default/web:http"


def test_an_ipv6_endpoint_has_brackets() -> None:
    assert names.endpoint_text(ip_address("fd00::1"), 80) == "[fd00::1]:80"
    assert names.endpoint_text(ip_address("10.0.0.1"), 80) == "10.0.0.1:80"


HOSTILE = ['a"b', "a b", "a\nb", "-j", "a'b", "A", "a_b", "", "a" * 64, "a-", "a/b", "a\\", "a$(b)", "ä", "a\n"]


@pytest.mark.parametrize("word", HOSTILE)
def test_a_hostile_name_is_refused_wherever_it_stands(word: str) -> None:
    for trio in ((word, "web", "http"), ("default", word, "http"), ("default", "web", word)):
        if trio[2]:
            with pytest.raises(TopologyError, match="cannot stand in a rule"):
                names.service_port_name(*trio)


@given(st.text(max_size=70), st.text(max_size=70), st.text(max_size=70))
def test_whatever_passes_is_made_of_harmless_letters(namespace: str, name: str, port: str) -> None:
    try:
        text = names.service_port_name(namespace, name, port)
    except TopologyError:
        return
    assert set(text) <= set("abcdefghijklmnopqrstuvwxyz0123456789-/:")


def test_an_address_with_a_zone_is_refused() -> None:
    with pytest.raises(TopologyError, match="zone"):
        names.address_text(ip_address('fe80::1%" -j ACCEPT'))


def test_a_network_is_printed_with_its_length() -> None:
    assert names.network_text(ip_network("10.244.0.0/16")) == "10.244.0.0/16"
    assert names.network_text(IPv6Network("fd00::/8")) == "fd00::/8"


@pytest.mark.parametrize("name", ["", "-i", "a b", 'e"', "eth0+", "x" * 16, "a/b", "e\n"])
def test_what_is_no_interface_is_refused(name: str) -> None:
    with pytest.raises(TopologyError, match="interface"):
        names.interface_name(name)


def test_interfaces_of_real_life_pass() -> None:
    for name in ("cbr0", "veth", "eth0.100", "br-lan", "wlan0:1"):
        assert names.interface_name(name) == name


def test_a_node_name_is_trimmed_and_lowered() -> None:
    assert names.node_name(" Node-1.Example \n") == "node-1.example"
    with pytest.raises(TopologyError, match="node name"):
        names.node_name("node 1")


def test_a_protocol_that_is_none_is_refused() -> None:
    assert [names.protocol_name(protocol) for protocol in ("TCP", "UDP", "SCTP")] == ["tcp", "udp", "sctp"]
    with pytest.raises(TopologyError, match="protocol"):
        names.protocol_name("tcp -j ACCEPT")  # type: ignore[arg-type] # none of them


LONG = "x" * 63


@pytest.mark.parametrize(
    ("port", "endpoint", "expected"),
    [
        # pkg/proxy/nftables/proxier_test.go and helpers_test.go
        ("p80", None, "ULMVA6XW-ns1/svc1/tcp/p80"),
        ("p80", ("10.180.0.1", 80), "5OJB2KTY-ns1/svc1/tcp/p80__10.180.0.1/80"),
        ("p80", ("fd00:10:180::1", 80), "ZVRFLKHO-ns1/svc1/tcp/p80__fd00.10.180..1/80"),
        ("p80", ("fd00:10:180::2:1", 80), "2CRNCTTE-ns1/svc1/tcp/p80__fd00.10.180..2.1/80"),
    ],
)
def test_nftables_mode_calls_a_chain_as_kube_proxy_does(
    port: str, endpoint: tuple[str, int] | None, expected: str
) -> None:
    at = (ip_address(endpoint[0]), endpoint[1]) if endpoint else None
    assert names.nft_name("ns1", "svc1", "tcp", port, at) == expected


def test_nftables_mode_ends_a_port_without_a_name_in_a_slash() -> None:
    assert names.nft_name("default", "a", "tcp", "").endswith("-default/a/tcp/")
    assert names.nft_name("default", "a", "udp", "", (ip_address("10.0.0.1"), 80)).endswith(
        "-default/a/udp/__10.0.0.1/80"
    )


@pytest.mark.parametrize(("length", "cut"), [(240, False), (241, True), (248, True)])
def test_nftables_mode_cuts_names_to_240_letters_and_keeps_their_hash(length: int, cut: bool) -> None:
    groups = ["1111"] * 8
    bare = f"{'h' * 8}-{LONG}/{LONG}/tcp/{LONG}__{'.'.join(groups)}/80"
    port = LONG[: len(LONG) - (len(bare) - length)]
    address = ip_address(":".join(groups))
    name = names.nft_name(LONG, LONG, "tcp", port, (address, 80))
    text = f"{LONG}/{LONG}/tcp/{port}__{'.'.join(groups)}/80"
    whole = f"{b32encode(sha256(text.encode()).digest())[:8].decode()}-{text}"
    assert len(whole) == length
    assert name == (f"{whole[:237]}..." if cut else whole)


@pytest.mark.parametrize("word", HOSTILE)
def test_nftables_mode_refuses_a_hostile_name(word: str) -> None:
    for trio in ((word, "web", "http"), ("default", word, "http"), ("default", "web", word)):
        if trio[2]:
            with pytest.raises(TopologyError, match="cannot stand in a rule"):
                names.nft_name(trio[0], trio[1], "tcp", trio[2])
