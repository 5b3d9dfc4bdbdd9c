"""One rule as iptables-save prints it, to statements: matches first, then the target.

What kube-proxy and kubelet write is known; any other match or target becomes `Unknown` with its own words. A value that
no iptables-save prints (an address that is none) raises `ValueError`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from fractions import Fraction
from functools import lru_cache
from ipaddress import ip_address, ip_network

from lab.model.address import IPAddress, IPNetwork
from lab.model.netfilter import (
    Chance,
    Decide,
    Dnat,
    Field,
    Mark,
    Masked,
    Masquerade,
    Match,
    Note,
    Range,
    Reject,
    Remember,
    Remembered,
    Span,
    Statement,
    Unknown,
    Verdict,
)
from lab.parse.iptables_words import Option, split

_GENERIC: dict[str, Field] = {
    "-s": "source",
    "-d": "destination",
    "-i": "in-interface",
    "-o": "out-interface",
    "-p": "protocol",
}
_PROTOCOLS = {"1": "icmp", "6": "tcp", "17": "udp", "58": "icmpv6", "132": "sctp", "ipv6-icmp": "icmpv6"}
_ALL_BITS = 0xFFFF_FFFF
_RANDOM_BITS = 31  # xt_statistic compares with a random number of so many bits (net/netfilter/xt_statistic.c)


def statements(rule: Sequence[str], chains: Collection[str]) -> tuple[Statement, ...]:
    """Return what the words after `-A CHAIN` mean; `chains` are the table's own: a target may be one of these."""
    matches, target = split(rule)
    found: list[Statement] = []
    for module, options in matches:
        found += _match(module, options)
    if target is not None:
        found.append(_target(*target, chains))
    return tuple(found)


def _match(module: str, options: list[Option]) -> Iterator[Statement]:
    if module in _WHOLE:
        yield from _WHOLE[module](options)
        return
    handlers = _OPTIONS.get(module)
    if handlers is None:
        yield Unknown(" ".join(["-m", module, *(option.text for option in options)]), match=True)
        return
    for option in options:
        handler = handlers.get(option.name)
        yield handler(option) if handler else Unknown(option.text, match=True)


def _generic(option: Option) -> Statement:
    return Match(option.text, _GENERIC[option.name], _spans(option), option.negated)


def _spans(option: Option) -> tuple[Span, ...]:
    if option.name in ("-s", "-d"):
        return (_network(option.value),)
    if option.name == "-p":
        name = option.value.lower()
        return ("*" if name in ("all", "0") else _PROTOCOLS.get(name, name),)
    return (option.value[:-1] + "*" if option.value.endswith("+") else option.value,)


@lru_cache(maxsize=1 << 16)  # an endpoint's address stands in three rules
def _network(text: str) -> IPNetwork:
    return ip_network(text, strict=False)


def _ports(field: Field) -> Callable[[Option], Statement]:
    def made(option: Option) -> Statement:
        first, colon, last = option.value.partition(":")
        ports = Range(int(first), int(last or 65535) if colon else int(first))
        return Match(option.text, field, (ports,), option.negated)

    return made


def _states(option: Option) -> Statement:
    return Match(option.text, "ct state", tuple(option.value.lower().split(",")), option.negated)


def _number(text: str) -> int:
    return int(text, 16) if text.lower().startswith("0x") else int(text)


def _mark_pair(text: str) -> tuple[int, int]:
    value, slash, mask = text.partition("/")
    return _number(value), _number(mask) if slash else _ALL_BITS


def _marked(option: Option) -> Statement:
    return Match(option.text, "mark", (Masked(*_mark_pair(option.value)),), option.negated)


def _type(field: Field) -> Callable[[Option], Statement]:
    def made(option: Option) -> Statement:
        if option.values != ("LOCAL",):
            return Unknown(option.text, match=True)
        return Match(option.text, field, ("local",), option.negated)

    return made


def _counted(option: Option) -> Statement:
    return Note(f"counted in the nfacct object {option.value}")


def _bridged(option: Option) -> Statement:
    return Match(option.text, "bridge port", ("yes",), option.negated)


_PORTS = {"--dport": _ports("destination port"), "--sport": _ports("source port")}
_OPTIONS: dict[str, dict[str, Callable[[Option], Statement]]] = {
    "": dict.fromkeys(_GENERIC, _generic),
    "comment": {"--comment": lambda option: Note(option.value, comment=True)},
    "tcp": _PORTS,
    "udp": _PORTS,
    "sctp": _PORTS,
    "conntrack": {"--ctstate": _states},
    "state": {"--state": _states},
    "mark": {"--mark": _marked},
    "addrtype": {"--dst-type": _type("destination type"), "--src-type": _type("source type")},
    "nfacct": {"--nfacct-name": _counted},
    "physdev": {"--physdev-is-in": _bridged},
}


def _statistic(options: list[Option]) -> Iterator[Statement]:
    text = " ".join(["-m statistic", *(option.text for option in options)])
    by_name = {option.name: option for option in options}
    if by_name.keys() != {"--mode", "--probability"} or by_name["--mode"].value != "random":
        yield Unknown(text, match=True)
        return
    scale = 1 << _RANDOM_BITS
    share = Fraction(round(Fraction(by_name["--probability"].value) * scale), scale)
    yield Chance(text, 1 - share if by_name["--probability"].negated else share)


def _recent(options: list[Option]) -> Iterator[Statement]:
    text = " ".join(["-m recent", *(option.text for option in options)])
    by_name = {option.name: option for option in options}
    name = by_name["--name"].value if "--name" in by_name else "DEFAULT"
    doing = by_name.keys() - {"--name", "--mask", "--rsource", "--seconds", "--reap"}
    if doing == {"--rcheck"}:
        yield Remembered(text, name, by_name["--rcheck"].negated)
    elif doing == {"--set"} and not by_name["--set"].negated:
        yield Remember(text, name)
    else:
        yield Unknown(text, match=True)


_WHOLE: dict[str, Callable[[list[Option]], Iterator[Statement]]] = {"statistic": _statistic, "recent": _recent}


def _target(flag: str, name: str, options: list[Option], chains: Collection[str]) -> Statement:
    text = " ".join([flag, name, *(option.text for option in options)])
    if name in chains and not options:
        return Decide(text, Verdict("jump" if flag == "-j" else "goto", name))
    known = _TARGETS.get(name) if flag == "-j" else None
    return (known(text, options) if known else None) or Unknown(text, match=False)


def _verdict(kind: str) -> Callable[[str, list[Option]], Statement | None]:
    verdict = Verdict("accept" if kind == "ACCEPT" else "drop" if kind == "DROP" else "return")
    return lambda text, options: None if options else Decide(text, verdict)


def _set_mark(text: str, options: list[Option]) -> Statement | None:
    if [option.name for option in options] != ["--set-xmark"]:
        return None
    value, mask = _mark_pair(options[0].value)
    return Mark(text, keep=_ALL_BITS & ~mask, flip=value)


def _dnat(text: str, options: list[Option]) -> Statement | None:
    if [option.name for option in options] != ["--to-destination"] or "-" in options[0].value:
        return None  # a range of addresses or ports
    return Dnat(text, {0: destination(options[0].value)})


def destination(text: str) -> tuple[IPAddress, int]:
    """Return address and port (0 if there is none) of `10.0.0.1:80`, `[fd00::1]:80`, `10.0.0.1` or `fd00::1`."""
    if text.startswith("["):
        address, _, port = text[1:].partition("]")
        return ip_address(address), int(port.removeprefix(":") or 0)
    if text.count(":") == 1:
        address, _, port = text.partition(":")
        return ip_address(address), int(port)
    return ip_address(text), 0


def _masquerade(text: str, options: list[Option]) -> Statement | None:
    return Masquerade(text) if {option.name for option in options} <= {"--random-fully", "--random"} else None


def _reject(text: str, options: list[Option]) -> Statement | None:
    if [option.name for option in options] not in ([], ["--reject-with"]):
        return None
    answer = options[0].value if options else "port-unreachable"
    return Reject(text, answer.removeprefix("icmp-").removeprefix("icmp6-"))


_TARGETS: dict[str, Callable[[str, list[Option]], Statement | None]] = {
    **{kind: _verdict(kind) for kind in ("ACCEPT", "DROP", "RETURN")},
    "MARK": _set_mark,
    "DNAT": _dnat,
    "MASQUERADE": _masquerade,
    "REJECT": _reject,
}
