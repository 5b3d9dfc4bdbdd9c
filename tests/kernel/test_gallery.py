"""Every expectation of every topology holds in every mode, and fails in a lab that is broken for it."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from lab import catalogue, gallery
from lab.model.gallery import Tried
from tests import breaks

from .conftest import FIRST

NAMES = [entry.name for entry in catalogue.entries()]


def tried(name: str, broken: breaks.Break, number: int) -> Tried:
    lab = f"break-{name}-{number}"
    return gallery.trial(
        name, broken.mode, lab, partial(catalogue.choose, name, **broken.settings), partial(breaks.done, broken)
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_broken_lab_fails_just_the_expectations_that_the_break_concerns(name: str, runtime: Path) -> None:
    every = breaks.of(name)
    found = gallery.at_once([partial(tried, name, one, number) for number, one in enumerate(every)], lambda *_: None)
    wrong = [f"{one.name}: {what}" for one, came in zip(every, found, strict=True) for what in breaks.wrong(one, came)]
    assert not wrong, "\n".join(wrong)
    assert not list(runtime.glob("*/*"))


@pytest.mark.parametrize("name", sorted(FIRST - {""}))
def test_every_expectation_holds_in_every_mode(name: str, runtime: Path) -> None:
    """Those of the others too: `scripts/test --gallery` runs `lab.gallery --mode all`."""
    found = gallery.run(gallery.items([name], gallery.ALL), lambda *_: None)
    assert [(one.topology, one.mode, one.error, one.failed) for one in found] == [
        (name, mode, "", ()) for mode in gallery.MODES
    ]
    assert not list(runtime.glob("*/*"))


@pytest.mark.parametrize("name", NAMES)
def test_what_is_left_out_as_the_topology_stands_holds_where_it_is_meant(name: str, runtime: Path) -> None:
    """The settings under which an expectation is broken are those for which it is meant."""
    every = {tuple(sorted(one.settings.items())): one for one in breaks.of(name) if one.options}
    work = [
        partial(gallery.trial, name, one.mode, f"as-is-{number}", partial(catalogue.choose, name, **one.settings))
        for number, one in enumerate(every.values())
    ]
    assert [(one.error, one.failed) for one in gallery.at_once(work, lambda *_: None)] == [("", ())] * len(every)
    assert not list(runtime.glob("*/*"))
