"""One rule as iptables-save prints it, to statements: matches first, then the target.

What kube-proxy and kubelet write is known, and what is common around them; any other match or target becomes `Unknown`
with its own words. A value that no iptables-save prints (an address that is none) raises `ValueError`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from fractions import Fraction
from functools import lru_cache
from ipaddress import ip_address, ip_network

from lab.model.address import IPNetwork
from lab.model.netfilter import (
    Chance,
    Field,
    Masked,
    Match,
    Note,
    Range,
    Remember,
    Remembered,
    Span,
    Statement,
    Unknown,
)
from lab.parse.iptables_target import target
from lab.parse.iptables_words import Option, mark_pair, split

_GENERIC: dict[str, Field] = {
    "-s": "source",
    "-d": "destination",
    "-i": "in-interface",
    "-o": "out-interface",
    "-p": "protocol",
}
_PROTOCOLS = {"1": "icmp", "6": "tcp", "17": "udp", "58": "icmpv6", "132": "sctp", "ipv6-icmp": "icmpv6"}
_TCP_FLAGS = {"FIN": 1, "SYN": 2, "RST": 4, "PSH": 8, "ACK": 16, "URG": 32, "ALL": 63, "NONE": 0}
_TYPES = {"LOCAL", "UNICAST", "MULTICAST"}  # of addresses that are known; a broadcast address depends on the routes
# Matches whose answer depends on the packet alone, or on what does not change between two rules.
_FIXED = {
    *("set", "owner", "mac", "time", "rpfilter", "socket", "pkttype", "physdev", "policy", "length", "ttl", "hl"),
    *("dscp", "tos", "ecn", "helper", "realm", "devgroup", "cgroup", "cpu", "esp", "ah", "icmp", "icmp6", "conntrack"),
    *("tcp", "udp", "sctp", "addrtype", "multiport", "geoip", "string", "u32", "bpf", "frag", "rt", "eui64"),
}
_RANDOM_BITS = 31  # xt_statistic compares with a random number of so many bits (net/netfilter/xt_statistic.c)


def statements(rule: Sequence[str], chains: Collection[str]) -> tuple[Statement, ...]:
    """Return what the words after `-A CHAIN` mean; `chains` are the table's own: a target may be one of these."""
    matches, jump = split(rule)
    found: list[Statement] = []
    for module, options in matches:
        found += _match(module, options)
    if jump is not None:
        found.append(target(*jump, chains))
    return tuple(found)


def _match(module: str, options: list[Option]) -> Iterator[Statement]:
    if module in _WHOLE:
        yield from _WHOLE[module](options)
        return
    handlers = _OPTIONS.get(module)
    if handlers is None:
        yield Unknown(_whole_text(module, options), match=True, fixed=module in _FIXED)
        return
    for option in options:
        handler = handlers.get(option.name)
        yield handler(option) if handler else Unknown(option.text, match=True, fixed=module in _FIXED)


def _whole_text(module: str, options: list[Option]) -> str:
    return " ".join(["-m", module, *(option.text for option in options)])


def _generic(option: Option) -> Statement:
    if _odd_mask(option):
        return Unknown(option.text, match=True, fixed=True)
    return Match(option.text, _GENERIC[option.name], _spans(option), option.negated)


def _spans(option: Option) -> tuple[Span, ...]:
    if option.name in ("-s", "-d"):
        return (_network(option.value),)
    if option.name == "-p":
        name = option.value.lower()
        return ("*" if name in ("all", "0") else _PROTOCOLS.get(name, name),)
    return (option.value[:-1] + "*" if option.value.endswith("+") else option.value,)


def _odd_mask(option: Option) -> bool:
    """Return whether this is an address with a mask that is no prefix, such as 10.0.0.1/255.0.0.255."""
    address, _, mask = option.value.partition("/")
    if option.name not in ("-s", "-d") or not mask or mask.isdecimal():
        return False
    try:
        _network(option.value)
    except ValueError:
        return ip_address(address).version == ip_address(mask).version
    return False


@lru_cache(maxsize=1 << 16)  # an endpoint's address stands in three rules
def _network(text: str) -> IPNetwork:
    return ip_network(text, strict=False)


def _ports(field: Field) -> Callable[[Option], Statement]:
    def made(option: Option) -> Statement:
        ports = tuple(_port_range(text) for text in option.value.split(","))
        return Match(option.text, field, ports, option.negated)

    return made


def _port_range(text: str) -> Range:
    first, colon, last = text.partition(":")
    return Range(int(first), int(last or 65535) if colon else int(first))


def _flags(option: Option) -> Statement:
    mask, wanted = (sum(_TCP_FLAGS[name] for name in set(text.split(","))) for text in option.values)
    return Match(option.text, "tcp flags", (Masked(wanted, mask),), option.negated)


def _addresses(field: Field) -> Callable[[Option], Statement]:
    def made(option: Option) -> Statement:
        first, _, last = option.value.partition("-")
        return Match(option.text, field, (Range(ip_address(first), ip_address(last or first)),), option.negated)

    return made


def _states(option: Option) -> Statement:
    return Match(option.text, "ct state", tuple(option.value.lower().split(",")), option.negated)


def _marked(field: Field) -> Callable[[Option], Statement]:
    return lambda option: Match(option.text, field, (Masked(*mark_pair(option.value)),), option.negated)


def _counted(option: Option) -> Statement:
    return Note(f"counted in the nfacct object {option.value}")


def _bridged(option: Option) -> Statement:
    return Match(option.text, "bridge port", ("yes",), option.negated)


_Handlers = dict[str, Callable[[Option], Statement]]
_PORTS: _Handlers = {"--dport": _ports("destination port"), "--sport": _ports("source port")}
_OPTIONS: dict[str, _Handlers] = {
    "": dict.fromkeys(_GENERIC, _generic),
    "comment": {"--comment": lambda option: Note(option.value, comment=True)},
    "tcp": {**_PORTS, "--tcp-flags": _flags},
    "udp": _PORTS,
    "sctp": _PORTS,
    "multiport": {"--dports": _ports("destination port"), "--sports": _ports("source port")},
    "iprange": {"--dst-range": _addresses("destination"), "--src-range": _addresses("source")},
    "conntrack": {"--ctstate": _states},
    "state": {"--state": _states},
    "mark": {"--mark": _marked("mark")},
    "connmark": {"--mark": _marked("ct mark")},
    "nfacct": {"--nfacct-name": _counted},
    "physdev": {"--physdev-is-in": _bridged},
}


def _types(options: list[Option]) -> Iterator[Statement]:
    fields: dict[str, Field] = {"--dst-type": "destination type", "--src-type": "source type"}
    if any(option.name not in fields or not _TYPES.issuperset(option.value.split(",")) for option in options):
        yield Unknown(_whole_text("addrtype", options), match=True, fixed=True)
        return
    for option in options:
        yield Match(option.text, fields[option.name], tuple(option.value.lower().split(",")), option.negated)


def _statistic(options: list[Option]) -> Iterator[Statement]:
    text = _whole_text("statistic", options)
    by_name = {option.name: option for option in options}
    if by_name.keys() != {"--mode", "--probability"} or by_name["--mode"].value != "random":
        yield Unknown(text, match=True)
        return
    scale = 1 << _RANDOM_BITS
    share = Fraction(round(Fraction(by_name["--probability"].value) * scale), scale)
    yield Chance(text, 1 - share if by_name["--probability"].negated else share)


def _recent(options: list[Option]) -> Iterator[Statement]:
    text = _whole_text("recent", options)
    by_name = {option.name: option for option in options}
    name = by_name["--name"].value if "--name" in by_name else "DEFAULT"
    doing = by_name.keys() - {"--name", "--mask", "--rsource", "--rdest", "--seconds", "--reap", "--hitcount", "--rttl"}
    if doing in ({"--rcheck"}, {"--update"}):
        yield Remembered(text, name, next(iter(by_name[one].negated for one in doing)))
    elif doing == {"--set"} and not by_name["--set"].negated:
        yield Remember(text, name)
    else:
        yield Unknown(text, match=True)


_WHOLE: dict[str, Callable[[list[Option]], Iterator[Statement]]] = {
    "addrtype": _types,
    "statistic": _statistic,
    "recent": _recent,
}
