"""The pages of `lab.graph` as a browser shows them: what lights what, and whether everything can be read."""

from __future__ import annotations

import pytest

from lab import catalogue, graph
from lab.picture import chains, topology
from tests.browser.conftest import Probe
from tests.browser.test_pages import CONTRAST, FIT, HELPERS, LOOKS

pytestmark = pytest.mark.browser

NAMED = """
const named = name => all("text").find(one => one.textContent === name).closest("[data-key]");
"""


def page(name: str, service: str = "") -> str:
    cluster = catalogue.choose(name).cluster
    return chains.page(graph.chains(cluster, service)) if service else topology.page(topology.scene(cluster))


@pytest.mark.parametrize(("name", "service"), [("clusterip", ""), ("large", ""), ("clusterip", "web")])
@pytest.mark.parametrize(("dark", "wide"), LOOKS, ids=["light", "light-narrow", "dark", "dark-narrow"])
def test_all_words_can_be_read_and_none_leaves_its_place(
    probe: Probe,
    name: str,
    service: str,
    dark: bool,
    wide: int,
) -> None:
    found = probe(
        page(name, service), f"{HELPERS}{CONTRAST}{FIT} return [faint, spilt, measured];", dark=dark, wide=wide
    )
    assert found[:2] == [[], []]
    assert found[2] > 15


def test_pointing_at_a_service_lights_its_endpoints_a_click_keeps_them_and_escape_lets_go(probe: Probe) -> None:
    script = """
    const shine = () => [document.documentElement.classList.contains("choosing"),
      all("g.lit text").map(one => one.textContent)];
    over(named("web"));
    const pointed = shine();
    over(document.body);
    const away = shine();
    click(named("web"));
    over(document.body);
    const kept = shine();
    press(named("web"), "Escape");
    return [pointed, away, kept, shine()];
    """
    pointed, away, kept, after = probe(page("clusterip"), HELPERS + NAMED + script)
    assert pointed == kept
    assert pointed[0]
    assert {"web", "web-1", "web-2"} <= set(pointed[1])
    assert not {"echo", "client-a", "router"} & set(pointed[1])
    assert away == after == [False, []]


def test_pointing_at_a_chain_lights_what_leads_to_it(probe: Probe) -> None:
    script = """
    over(named("KUBE-SEP-UIQK3OSOSTRHRPBX"));
    return all("g.lit text").map(one => one.textContent);
    """
    lit = probe(page("clusterip", "web"), HELPERS + NAMED + script)
    assert {"KUBE-SERVICES", "KUBE-SVC-CDGGSHYLG3RE2FKL", "KUBE-SEP-UIQK3OSOSTRHRPBX"} <= set(lit)
    assert "KUBE-SEP-4EX2N4PG4ASNZOBF" not in lit
