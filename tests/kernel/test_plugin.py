"""The pytest plugin with real labs: each test here is a small project's test run."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

import lab.api  # a run in this process shall not load it, and forget it, each time
from lab.standing import session

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.once

PLUGIN = ("-p", "lab.plugin", "-p", "no:cacheprovider")
LAB = "apiVersion: hairpin/v1alpha1\nkind: Lab\nmetadata: {name: small}\nspec: {nodes: [node-1]}\n"
POD = """\
---
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec: {containers: [{ports: [{containerPort: 8080}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {clusterIP: 10.96.0.80, selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
"""
FAILS = f"""
import pytest
LAB = '''{LAB + POD}'''
@pytest.mark.lab(LAB)
def test_it(lab):
    lab.expect(from_="node-1", to="pod/web", local_port=20003, answer={{"source": "web"}})
@pytest.mark.lab(LAB)
def test_other(lab):
    pass
"""


@pytest.fixture(autouse=True)
def only_ours(monkeypatch: pytest.MonkeyPatch, runtime: Path) -> Path:
    """Load no plugin but those that a run names, and see that no lab stays that a test does not mean to."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    return runtime


def standing() -> list[str]:
    """Return the names of the labs that stand."""
    return [row.name for row in session.rows()]


def test_a_fixture_gives_a_lab_for_a_scope_and_in_each_mode(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        from lab.plugin import lab_fixture

        web = lab_fixture("clusterip", scope="module", modes=["iptables", "legacy", "nftables"])
        names = {}

        def test_one(web):
            names[web.name] = (web.cluster.mode, web.cluster.spec.iptables)
            assert web.pod("client-a").curl("svc/web").answered

        def test_other(web):
            assert web.name in names

        def test_all():
            assert list(names.values()) == [("iptables", "nft"), ("iptables", "legacy"), ("nftables", "nft")]
    """)
    run = pytester.runpytest(*PLUGIN, "-v")
    run.assert_outcomes(passed=7)
    run.stdout.fnmatch_lines(["*::test_one[[]nftables]*", "*::test_other[[]nftables]*"])
    assert standing() == []


def test_a_marker_gives_each_test_a_lab_of_its_own(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        import pytest

        names = set()

        @pytest.mark.lab("clusterip", modes=["iptables", "nftables"], plugin="ptp")
        def test_one(lab, request):
            names.add(lab.name)
            assert lab.cluster.mode in request.node.name
            assert lab.cluster.spec.network.plugin == "ptp"
            assert lab.name.startswith("test-one-")

        def test_all():
            assert len(names) == 2
    """)
    pytester.runpytest(*PLUGIN).assert_outcomes(passed=3)
    assert standing() == []


def test_a_folder_stands_beside_the_test_and_yaml_in_it(pytester: pytest.Pytester) -> None:
    tests = pytester.mkdir("tests")
    (tests / "small").mkdir()
    (tests / "small" / "lab.yaml").write_text(LAB)
    (tests / "test_it.py").write_text(
        "import pytest\nfrom lab.plugin import lab_fixture\n"
        "small = lab_fixture('small', scope='session')\n"
        f"@pytest.mark.lab('''{LAB}''')\n"
        "def test_it(lab, small):\n    assert lab.cluster == small.cluster and lab.name != small.name\n"
        "@pytest.mark.lab('./small/lab.yaml')\ndef test_file(lab):\n    assert lab.cluster.name == 'small'\n"
    )
    pytester.runpytest(*PLUGIN, "tests").assert_outcomes(passed=2)  # from another folder than the test's


def test_a_failed_test_shows_what_its_lab_looked_like(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(FAILS)
    run = pytester.runpytest(*PLUGIN, "--junitxml=junit.xml")
    run.assert_outcomes(failed=1, passed=1)
    run.stdout.fnmatch_lines(
        [
            '>   *lab.expect(from_="node-1", to="pod/web", local_port=20003, answer={"source": "web"})',
            "E       lab.api.ExpectationError: *",
            "E       ✗  source  web 10.244.1.2  node-1/cbr0 10.244.1.1",
            "E       flows of the request",
            "*- lab test-it-*: status -*",
            "web  node-1  10.244.1.2  8080/TCP  answers in *",
            "*- lab test-it-*: flows -*",
            "tcp * node-1/cbr0 10.244.1.1:20003 * answered",
            "*- lab test-it-*: rules -*",
            "*-d 10.96.0.80/32 * -j KUBE-SVC-*",
            "*- lab test-it-*: links -*",
            "cbr0 * UP * 10.244.1.1/24*",
            "*- lab test-it-*: log -*",
            "* web tcp 10.244.1.1:20003 -> 10.244.1.2:8080 / 200",
        ]
    )
    assert run.stdout.str().count(": status -") == 1, "a test that passes shows nothing"
    cases = {case.attrib["name"]: case for case in ET.parse(pytester.path / "junit.xml").iter("testcase")}
    said = {one.attrib["name"]: one.attrib["value"] for one in cases["test_it"].iter("property")}
    assert list(said) == ["lab_name", "lab_status", "lab_flows", "lab_rules", "lab_links", "lab_log"]
    assert "10.244.1.1:20003" in said["lab_flows"]
    (failure,) = ("".join(one.itertext()) for one in cases["test_it"].iter("failure"))
    assert "no SNAT" not in failure
    assert "✗  source  web 10.244.1.2" in failure
    assert list(cases["test_other"].iter("property")) == []
    assert standing() == []


def test_the_lab_of_a_failed_test_can_be_kept_and_entered(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(FAILS)
    run = pytester.runpytest(*PLUGIN, "--lab-keep")
    run.assert_outcomes(failed=1, passed=1)
    (name,) = standing()
    run.stdout.fnmatch_lines(
        [
            "*= labs that stand =*",
            f"{name}, of *::test_it",
            f"  enter it: hairpin lab.shell --lab {name}",
            f"  end it:   hairpin lab.down --lab {name}",
        ]
    )
    assert lab.api.attach(name).node("node-1").exec("ip link show cbr0").status == 0
    hairpin = Path(sys.executable).with_name("hairpin")
    subprocess.run([hairpin, "lab.down", "--lab", name], check=True, capture_output=True)


def test_the_packets_of_a_failed_tests_lab_can_be_kept(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(FAILS)
    run = pytester.runpytest(*PLUGIN, "--lab-capture", "packets/here")
    run.assert_outcomes(failed=1, passed=1)
    (file,) = (pytester.path / "packets/here").iterdir()
    run.stdout.fnmatch_lines(["*- lab test-it-*: packets -*", str(file)])
    tcpdump = subprocess.run(["tcpdump", "-nr", file], capture_output=True, text=True, check=True)
    assert re.search(r"10\.244\.1\.1\.20003 > 10\.244\.1\.2\.8080: Flags \[S\]", tcpdump.stdout)


def test_workers_of_xdist_have_labs_at_the_same_time_and_tell_the_same(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(f"""
        import os, pytest, time
        from pathlib import Path
        from lab.plugin import lab_fixture

        small = lab_fixture('''{LAB.replace(chr(10), chr(10) + " " * 8)}''', scope="session")
        here = Path(__file__).parent

        @pytest.mark.parametrize("me, other", ["ab", "ba"])
        def test_it(small, me, other):
            (here / me).write_text(small.name)
            deadline = time.monotonic() + 20
            while not (here / other).exists() and time.monotonic() < deadline:  # so that both stand at once
                time.sleep(0.01)
            assert small.name != (here / other).read_text()
            assert os.environ["PYTEST_XDIST_WORKER"] in small.name
            assert me != "a", "shown"
    """)
    run = pytester.runpytest_subprocess(*PLUGIN, "-p", "xdist", "-n", "2", "--lab-keep")
    run.assert_outcomes(passed=1, failed=1)
    run.stdout.fnmatch_lines(
        ["E * shown*", "*- lab small-gw*: status -*", "*= labs that stand =*", "small-gw*test_it*"]
    )
    (name,) = standing()
    session.down(name)


def test_a_fixture_of_ones_own_is_looked_at_too(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(f"""
        import pytest
        from lab.api import up

        @pytest.fixture
        def mine():
            with up('''{LAB.replace(chr(10), chr(10) + " " * 8)}''') as lab:
                yield lab

        def test_it(mine):
            assert 0
    """)
    run = pytester.runpytest(*PLUGIN)
    run.assert_outcomes(failed=1)
    run.stdout.fnmatch_lines(["*- lab small-*: status -*"])
    assert standing() == []


def test_a_test_that_ends_its_lab_itself_is_reported_without_it(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(f"""
        import pytest
        from lab.standing import session
        from lab.plugin import lab_fixture

        small = lab_fixture('''{LAB.replace(chr(10), chr(10) + " " * 8)}''')

        def test_it(small):
            session.down(small.name)
            assert 0
    """)
    run = pytester.runpytest(*PLUGIN)
    run.assert_outcomes(failed=1)
    run.stdout.no_fnmatch_line("*- lab *")


def test_mistakes_in_what_is_asked_for_are_told_once_and_without_a_traceback(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        import pytest

        @pytest.mark.lab("clusterp")
        def test_topology(lab): pass

        @pytest.mark.lab("clusterip", mod="nftables")
        def test_option(lab): pass

        @pytest.mark.lab("clusterip", modes=["ipvs"])
        def test_mode(lab): pass
    """)
    run = pytester.runpytest(*PLUGIN)
    run.assert_outcomes(errors=3)
    told = run.stdout.str().partition("short test summary")[0]
    assert "hint: did you mean clusterip?" in told
    assert "there is no option 'mod'; expected mode, iptables, " in told
    assert "; did you mean mode?" in told
    assert "modes: 'ipvs': expected iptables, legacy, nftables" in told
    assert "another exception" not in told
    assert "plugin.py" not in told


@pytest.mark.parametrize("skip", [False, True], ids=["fails", "is skipped when asked for"])
def test_a_lab_that_cannot_be_built_names_what_the_machine_lacks(pytester: pytest.Pytester, *, skip: bool) -> None:
    pytester.makepyfile(FAILS)
    run = [sys.executable, "-m", "pytest", *PLUGIN, "-rs", *(["--lab-skip"] if skip else [])]
    forbid = 'echo 0 >/proc/sys/user/max_net_namespaces; exec "$@"'  # in a user namespace of its own: there alone
    unshare = shutil.which("unshare")
    assert unshare
    done = subprocess.run(
        [unshare, "--user", "--map-root-user", "sh", "-c", forbid, "sh", *run],
        capture_output=True,
        text=True,
        check=False,
    )
    missing = "no lab can stand on this machine: network, mount and PID namespaces missing"
    assert missing in done.stdout, done.stdout + done.stderr
    if skip:
        assert done.stdout.splitlines()[-1].split(" in ")[0].strip("= ") == "2 skipped"
        assert f"{missing}; network, mount and PID namespaces: in a container: start it with" in done.stdout
    else:
        assert done.stdout.splitlines()[-1].split(" in ")[0].strip("= ") == "2 errors"
        assert "STATUS   WHAT" in done.stdout
        assert "Traceback" not in done.stdout
