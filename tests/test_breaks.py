"""No expectation of the gallery is without a break, by which it alone fails."""

from __future__ import annotations

import pytest

from lab import catalogue
from tests import breaks

NAMES = [entry.name for entry in catalogue.entries()]


def test_every_topology_has_its_breaks_and_there_are_no_others() -> None:
    assert {path.stem for path in breaks.FOLDER.glob("*.yaml")} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_expectation_is_the_only_one_to_fail_somewhere(name: str) -> None:
    """So is every step of one: whatever fails beside it belongs to the same expectation."""
    every = breaks.expectations(name)
    alone = {it for broken in breaks.of(name) for own in every if set(broken.red) <= set(own) for it in broken.red}
    assert alone == {it for own in every for it in own}


@pytest.mark.parametrize("name", NAMES)
def test_every_sentence_of_a_topology_and_every_break_of_it_is_another(name: str) -> None:
    sentences = [one for own in breaks.expectations(name) for one in own]
    assert len(set(sentences)) == len(sentences)
    named = [one.name for one in breaks.of(name)]
    assert len(set(named)) == len(named)
