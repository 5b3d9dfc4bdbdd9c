"""The pytest plugin where no lab is built: its price, its options, and mistakes in its use."""

from __future__ import annotations

import subprocess
import sys

import pytest

import lab.api  # noqa: F401 - a run in this process shall not load it, and forget it, each time

pytest_plugins = ["pytester"]

PLUGIN = ("-p", "lab.plugin", "-p", "no:cacheprovider")


@pytest.fixture(autouse=True)
def only_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Load no plugin but those that a run names."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


def test_it_costs_no_run_more_than_its_own_import() -> None:
    code = "import sys, pytest\nbefore = set(sys.modules)\nimport lab.plugin\nprint(*set(sys.modules) - before)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {"lab.plugin"} <= set(loaded) <= {"lab", "lab.plugin"}


def test_its_options_and_its_marker_are_explained(pytester: pytest.Pytester) -> None:
    pytester.runpytest(*PLUGIN, "--help").stdout.fnmatch_lines(["labs (Hairpin):", "*--lab-keep *", "*--lab-skip *"])
    pytester.runpytest(*PLUGIN, "--markers").stdout.fnmatch_lines(["@pytest.mark.lab(topology, *"])


@pytest.mark.parametrize(
    ("test", "told"),
    [
        ("def test(lab): pass", 'the fixture `lab`: expected a marker with a topology: @pytest.mark.lab("clusterip")'),
        (
            "@pytest.mark.lab('clustrip')\ndef test(lab): pass",
            "'clustrip': neither a topology (*) nor a file or folder\n  hint: did you mean clusterip?",
        ),
        (
            "@pytest.mark.lab('clusterip', mode='nftable')\ndef test(lab): pass",
            "--mode 'nftable': expected iptables or nftables\n  hint: did you mean nftables?",
        ),
        (
            "@pytest.mark.lab('clusterip', modes=['ipvs'])\ndef test(lab): pass",
            "modes: 'ipvs': expected iptables, legacy, nftables",
        ),
        (
            (
                "TEXT = '''\n    kind: Lab\n    apiVersion: hairpin/v1alpha1\n    metadata: {name: x}\n"
                "    spec: {nods: [a]}'''\n"
                "@pytest.mark.lab(TEXT)\ndef test(lab): pass"
            ),
            "<text>:5:8: spec.nods: unknown field 'nods'; did you mean nodes?",
        ),
        (
            "odd = lab_fixture('./nowhere')\ndef test(odd): pass",
            "'./nowhere': neither a topology (*) nor a file or folder\n*",
        ),
    ],
    ids=["no marker", "unknown topology", "unknown mode", "unknown modes", "mistake in the YAML", "no such file"],
)
def test_a_mistake_is_told_without_a_traceback(pytester: pytest.Pytester, test: str, told: str) -> None:
    pytester.makepyfile(f"import pytest\nfrom lab.plugin import lab_fixture\n{test}\n")
    run = pytester.runpytest(*PLUGIN)
    run.assert_outcomes(errors=1)
    run.stdout.fnmatch_lines(["*ERROR at setup of test*", *told.split("\n")], consecutive=True)


def test_a_test_without_a_lab_pays_nothing_and_is_told_nothing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        "import sys\ndef test(): assert 'lab.standing.session' in sys.modules, 'told'\ndef test_other(): assert 0\n"
    )
    run = pytester.runpytest_subprocess(*PLUGIN)
    run.assert_outcomes(failed=2)
    run.stdout.no_fnmatch_line("*- lab *")
