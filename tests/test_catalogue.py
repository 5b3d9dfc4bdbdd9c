"""A topology is chosen with other settings than its own, and what makes no sense together is refused."""

from __future__ import annotations

import pytest

from lab import catalogue
from lab.errors import TopologyError


def test_how_a_topology_is_wired_can_be_chosen_and_else_is_its_own() -> None:
    network = catalogue.choose("clusterip", plugin="ptp", overlay="vxlan").cluster.spec.network
    assert (network.plugin, network.overlay, network.hairpin_mode) == ("ptp", "vxlan", "hairpin-veth")
    own = catalogue.choose("multi-node", plugin="ptp").cluster.spec.network
    assert (own.plugin, own.overlay) == ("ptp", "vxlan")


@pytest.mark.parametrize(
    ("topology", "options", "message"),
    [
        ("hairpin", {"plugin": "ptp", "hairpin_mode": "none"}, "with plugin ptp there is no bridge that 'none' could"),
        ("ptp", {"hairpin_mode": "promiscuous-bridge"}, "no bridge that 'promiscuous-bridge' could"),
        ("ptp", {"plugin": "pt"}, "--plugin 'pt': expected bridge or ptp\n  hint: did you mean ptp?"),
        ("ptp", {"overlay": "vlan"}, "--overlay 'vlan': expected none or vxlan\n  hint: did you mean vxlan?"),
    ],
)
def test_a_choice_that_cannot_be_is_refused(topology: str, options: dict[str, str], message: str) -> None:
    with pytest.raises(TopologyError) as refused:
        catalogue.choose(topology, **options)
    hint = f"\n  hint: {refused.value.hint}" if refused.value.hint else ""
    assert message in f"{refused.value.message}{hint}"
