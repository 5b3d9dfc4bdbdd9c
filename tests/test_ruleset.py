"""A ruleset is printed as iptables-restore reads it, and its chains are found by their places."""

from __future__ import annotations

from lab.model.ruleset import Chain, Place, Ruleset, Table, gather

SVC = Chain("KUBE-SVC-A", ("-j KUBE-SEP-B",), "default/web")
SEP = Chain("KUBE-SEP-B", (), "default/web")
RULESET = Ruleset("ipv4", (Table("nat", (Chain("OUTPUT", ("-j KUBE-SERVICES",)), Chain("KUBE-SERVICES"), SVC, SEP)),))


def test_chains_are_declared_before_the_first_rule_and_built_in_ones_never() -> None:
    assert RULESET.restore_text() == (
        "*nat\n"
        ":KUBE-SERVICES - [0:0]\n"
        ":KUBE-SVC-A - [0:0]\n"
        ":KUBE-SEP-B - [0:0]\n"
        "-A OUTPUT -j KUBE-SERVICES\n"
        "-A KUBE-SVC-A -j KUBE-SEP-B\n"
        "COMMIT\n"
    )


def test_a_chain_is_found_by_its_place() -> None:
    assert RULESET.chain("nat", "KUBE-SVC-A") == SVC
    assert RULESET.chain("filter", "KUBE-SVC-A") is None


def test_shared_rules_keep_their_order() -> None:
    places: tuple[Place, Place] = (("nat", "A"), ("nat", "B"))
    assert gather([(places[0], "1"), (places[1], "2"), (places[0], "3")]) == {places[0]: ["1", "3"], places[1]: ["2"]}
