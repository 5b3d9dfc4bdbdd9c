"""The ```console blocks of the documents: what they say is run, and what was printed must be what is printed.

`.venv/bin/python -m tests.consoles README.md ...` writes the present output into the documents; tests only compare.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests import commandline

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = (
    "README.md",
    "docs/cluster.md",
    "docs/graph.md",
    *sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("topologies/*/README.md")),
)
FILE = re.compile(r"^```python\n(?P<text># (?P<name>\w+\.py)\n.*?)^```$", re.MULTILINE | re.DOTALL)
PLAIN = re.compile(r"invoke( ([\w@%+=:,./-]+|'[^']*'))+")
"""A line that starts one task and nothing else, in which a shell would replace nothing."""
NOT_RUN = re.compile(r"<!-- not run: (?P<why>.+) -->")


@dataclass(frozen=True, kw_only=True)
class Normaliser:
    """What differs from run to run: in the output of the commands that match `where` (as `DOCUMENT: COMMAND`)."""

    why: str
    pattern: str
    becomes: str
    where: str = ""

    def __call__(self, text: str, where: str) -> str:
        return re.sub(self.pattern, self.becomes, text, flags=re.MULTILINE) if re.search(self.where, where) else text


# Which of two endpoints is chosen is the kernel's dice; in the topology hairpin there is one endpoint and no choice.
_CHOSEN = (
    r"^(?!topologies/hairpin)"
    r".*(lab\.(conntrack|check)|conntrack -L|curl -s (web|http)|lab\.curl .*(svc/|:30080|127\.0)(?!.*--lab local))"
    r"|topologies/(loadbalancer|external-ips|traffic-policy-local)/.*lab\.curl .*:80\b"
)
_MASQUERADED = (
    r"lab\.curl (node-1 |client-a node-2:)|lab\.conntrack --source (node-1/eth0|client-a --node node-2$)"
    r"|topologies/(loadbalancer|external-ips)/.*lab\.(curl|conntrack)"
)

NORMALISERS = (
    Normaliser(why="how long something took", pattern=r"\b\d+(\.\d+)? (ms|s|min)(?![\w/])", becomes="TIME"),
    Normaliser(why="and by time(1)", pattern=r"^(real|user|sys) \d+\.\d+$", becomes=r"\1 TIME"),
    Normaliser(why="a process's number", pattern=r"((?<=keeper)|(?<=TIME)) +\d+$", becomes=" PID"),
    Normaliser(
        why="a port that MASQUERADE picked, 1024 to 65535: it stands at a node's, a bridge's or a tunnel's address",
        pattern=r"(10\.244\.\d\.[01]|10\.179\.18\.1|192\.168\.0\.1\d|\[fd00:[\d:]+::[1ab]\]):(?!(30080|30081)\b)\d+",
        becomes=r"\1:PORT",
    ),
    Normaliser(
        why="a port that a socket was given, 32768 to 60999: those that the documents choose are others",
        pattern=r"((?<=[\d\]]:)|(?<=port=))(?!3008[01]\b)(3[2-9]|[45]\d|60)\d{3}\b",
        becomes="PORT",
    ),
    Normaliser(
        why="and one that MASQUERADE picked, as conntrack(8) prints it",
        pattern=r"(dst=10\.179\.18\.1 sport=8080 dport=)\d+",
        becomes=r"\1PORT",
    ),
    Normaliser(
        why="a port that a tunnel picked for one flow of those in it, as tcpdump(8) prints it",
        pattern=r"(192\.168\.0\.1\d)\.\d+ >",
        becomes=r"\1.PORT >",
        where="tcpdump",
    ),
    Normaliser(why="counts of packets", pattern=r"^( +\d+){6} *$", becomes="COUNTS", where="-statistics"),
    Normaliser(why="seconds until a flow expires", pattern=r"^((tcp +6|udp +17) )\d+ ", becomes=r"\1SECONDS "),
    Normaliser(
        why="which endpoint was chosen", pattern=r"(web|dns|db)-(\d{3}-)?[123]\b", becomes="ENDPOINT", where=_CHOSEN
    ),
    Normaliser(
        why="and its address",
        pattern=r"10\.(244\.[12]\.2|179\.18\.(8|29))\b|fd00:10:244:[12]::2\b",
        becomes="ITS-ADDRESS",
        where=_CHOSEN,
    ),
    Normaliser(
        why="and its node, in a reply",
        pattern=r'(ENDPOINT(", "node": "| +))node-[12]',
        becomes=r"\1NODE",
        where=_CHOSEN,
    ),
    Normaliser(
        why="a node masquerades as the interface that the packet leaves by, and so follows the endpoint",
        pattern=r"(node-[12])( 192\.168\.0\.1[01]|/cbr0 10\.244\.[12]\.1):PORT",
        becomes=r"\1-OR-ITS-BRIDGE",
        where=_MASQUERADED,
    ),
    Normaliser(
        why="and where the address stays the same, only the port is another",
        pattern=r"SNAT (node-[12](/cbr0)?|port \d+)",
        becomes="SNAT",
        where=_MASQUERADED,
    ),
    Normaliser(why="and so it is elsewhere", pattern=r"SNAT port \d+", becomes="SNAT port PORT"),
    Normaliser(why="how the dice fell", pattern=r"\b\d+( x)? (?=answered|\.\.\.)", becomes="N x ", where=r"lab\.check"),
    Normaliser(why="how the dice fell", pattern=r"\d+ +\d+\.\d %", becomes="N SHARE", where=r"--count"),
    Normaliser(why="how long tests took", pattern=r"( in )\d+\.\d+s$", becomes=r"\1TIME", where="pytest"),
    Normaliser(why="a lab's name that nobody else has", pattern=r"-[0-9a-f]{8}\b", becomes="-TOKEN", where="pytest"),
    Normaliser(why="packets and bytes", pattern=r"^(E +)[1-9]\d* +\d+ ", becomes=r"\1COUNTS ", where="pytest"),
    Normaliser(why="a column is as wide as what stands in it", pattern=r"[ \t]+", becomes=" "),
    Normaliser(why="and so is what fills its last line", pattern=r" +$", becomes=""),
)


def normalised(output: str, where: str) -> str:
    """Return an output without what differs from run to run; `where` is `DOCUMENT: COMMAND`."""
    for normaliser in NORMALISERS:
        output = normaliser(output, where)
    return output


@dataclass(frozen=True, kw_only=True)
class Command:
    """One line `$ COMMAND` of a document, the output below it, and why it is not run (empty: it is)."""

    document: str
    line: int
    text: str
    output: str
    not_run: str

    @property
    def where(self) -> str:
        """The place, as the normalisers know it."""
        return f"{self.document}: {self.text}"


def commands(document: str, text: str) -> Iterator[Command]:
    """Yield the commands of a document in their order."""
    lines = text.split("\n")
    fences = [number for number, line in enumerate(lines) if line.startswith("```")]
    for begin, end in zip(fences[::2], fences[1::2], strict=True):
        if lines[begin] != "```console":
            continue
        before = next((line for line in reversed(lines[:begin]) if line), "")
        marked = NOT_RUN.fullmatch(before)
        starts = [number for number in range(begin + 1, end) if lines[number].startswith("$ ")]
        if not starts or starts[0] != begin + 1:
            raise ValueError(f"{document}:{begin + 2}: a console block begins with a command: `$ ...`")
        for start, stop in zip(starts, [*starts[1:], end], strict=True):
            output = "".join(f"{line}\n" for line in lines[start + 1 : stop])
            yield Command(
                document=document,
                line=start + 1,
                text=lines[start].removeprefix("$ "),
                output=output,
                not_run=marked["why"] if marked else "",
            )


def read(document: str) -> tuple[Command, ...]:
    """Return the commands of a document of this checkout."""
    return tuple(commands(document, (ROOT / document).read_text(encoding="utf-8")))


@contextmanager
def prepared(document: str) -> Iterator[Path]:
    """Give the folder for a document's commands: the checkout, or one that has the Python files of the document."""
    files = {found["name"]: found["text"] for found in FILE.finditer((ROOT / document).read_text(encoding="utf-8"))}
    if not files:
        yield ROOT
        return
    with TemporaryDirectory() as folder:
        for name, text in files.items():
            (Path(folder) / name).write_text(text, encoding="utf-8")
        yield Path(folder)


def run(command: Command, folder: Path = ROOT) -> tuple[int, str]:
    """Run a command as its reader would, and return its exit status and all that it printed, as lines."""
    return shell(command.text, folder)


def quick(command: Command) -> tuple[int, str]:
    """Do as `run` does; a task by itself in this process, without a new interpreter for each."""
    if not PLAIN.fullmatch(command.text):
        return run(command)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment().items():
            patch.setenv(name, value)
        done = commandline.run(*shlex.split(command.text)[1:], cwd=ROOT)
    return done.returncode, _lines(done.stderr + done.stdout)  # into one pipe, what is not kept back comes first


def environment() -> dict[str, str]:
    """Return what the commands have in their environment: first of all this environment's programs."""
    own = Path(sys.executable).parent
    return {"PATH": f"{own}:{os.environ['PATH']}:/usr/sbin:/sbin", "LC_ALL": "C.UTF-8"}


def shell(line: str, folder: Path = ROOT) -> tuple[int, str]:
    """Run a line in the checkout, with its environment's programs first, without a terminal."""
    done = subprocess.run(
        ["bash", "-c", line],
        cwd=folder,
        env=os.environ | environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    return done.returncode, _lines(done.stdout)


def _lines(output: str) -> str:
    """Return an output with an end of its last line."""
    return f"{output}\n" if output and not output.endswith("\n") else output


def rewritten(document: str) -> str:
    """Return the text of a document with the output that its commands have now."""
    lines = (ROOT / document).read_text(encoding="utf-8").split("\n")
    shift = 0
    with prepared(document) as folder:
        for command in read(document):
            if not command.not_run:
                begin = command.line + shift
                old = command.output.count("\n")
                new = [line.rstrip() for line in run(command, folder)[1].splitlines()]
                lines[begin : begin + old] = new
                shift += len(new) - old
    return "\n".join(lines)


if __name__ == "__main__":
    with TemporaryDirectory() as runtime:  # a document may end all labs: not those that stand already
        os.environ["XDG_RUNTIME_DIR"] = runtime
        for name in sys.argv[1:]:
            (ROOT / name).write_text(rewritten(name), encoding="utf-8")
