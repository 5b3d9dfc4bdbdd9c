"""An nftables ruleset is printed as nft reads it, and its chains and sets are found by their names."""

from __future__ import annotations

from lab.model.nft_ruleset import Element, Hook, NftChain, NftRuleset, NftSet, gather_elements

MAP = NftSet(
    "service-ips",
    "ipv4_addr . inet_proto . inet_service",
    "traffic",
    (Element("10.96.0.10 . tcp . 80", "goto service-A"), Element("10.96.0.11 . tcp . 80", "drop", "default/none")),
    kind="map",
)
AFFINITY = NftSet("affinity-A", "ipv4_addr", timeout_s=90)
BASE = NftChain("nat-output", ("jump services",), hook=Hook("nat", "output", -100))
HELPER = NftChain("reject-chain", ("reject",), comment="helper")
OWN = NftChain("service-A", (), "default/web")
RULESET = NftRuleset("ipv6", (MAP, AFFINITY), (BASE, HELPER, OWN), "rules")


def test_a_table_is_printed_with_its_sets_before_its_chains() -> None:
    assert RULESET.restore_text() == (
        "table ip6 kube-proxy {\n"
        '\tcomment "rules"\n'
        "\tmap service-ips {\n"
        "\t\ttype ipv4_addr . inet_proto . inet_service : verdict\n"
        '\t\tcomment "traffic"\n'
        "\t\telements = {\n"
        "\t\t\t10.96.0.10 . tcp . 80 : goto service-A,\n"
        '\t\t\t10.96.0.11 . tcp . 80 comment "default/none" : drop\n'
        "\t\t}\n"
        "\t}\n"
        "\tset affinity-A {\n"
        "\t\ttype ipv4_addr\n"
        "\t\tflags dynamic,timeout\n"
        "\t\ttimeout 90s\n"
        "\t}\n"
        "\tchain nat-output {\n"
        "\t\ttype nat hook output priority -100; policy accept;\n"
        "\t\tjump services\n"
        "\t}\n"
        "\tchain reject-chain {\n"
        '\t\tcomment "helper"\n'
        "\t\treject\n"
        "\t}\n"
        "\tchain service-A {\n"
        "\t}\n"
        "}\n"
    )


def test_a_chain_and_a_set_are_found_by_their_names() -> None:
    assert RULESET.chain("nat-output") == BASE
    assert RULESET.set("service-ips") == MAP
    assert RULESET.chain("service-ips") is None
    assert RULESET.set("nat-output") is None


def test_an_element_that_several_service_ports_need_is_there_once_and_the_first_claim_holds() -> None:
    first, second, other = Element("10.96.0.10", "drop"), Element("10.96.0.10", "goto a"), Element("10.96.0.11")
    found = gather_elements([("x", first), ("y", other), ("x", second), ("x", other)])
    assert found == {"x": {"10.96.0.10": first, "10.96.0.11": other}, "y": {"10.96.0.11": other}}
