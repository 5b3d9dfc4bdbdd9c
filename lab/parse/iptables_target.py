"""The target of a rule as iptables-save prints it, to a statement."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from ipaddress import ip_address

from lab.model.address import IPAddress
from lab.model.netfilter import Decide, Dnat, Mark, Masquerade, Note, Reject, Statement, Unknown, Verdict
from lab.parse.iptables_words import ALL_BITS, Option, mark_pair, number


def target(flag: str, name: str, options: list[Option], chains: Collection[str]) -> Statement:
    """Return what `-j NAME` (`flag` and `name`) with its options does; `chains` are the table's own."""
    text = " ".join([flag, name, *(option.text for option in options)])
    if name in chains and not options:
        return Decide(text, Verdict("jump" if flag == "-j" else "goto", name))
    known = _TARGETS.get(name) if flag == "-j" else None
    return (known(text, options) if known else None) or Unknown(text, match=False, word=_word(name, options))


def _word(name: str, options: list[Option]) -> str:
    """Return the target; of CT's two deeds the one that has a target of its own, too, by that one's name."""
    return "NOTRACK" if name == "CT" and any(option.name == "--notrack" for option in options) else name


def _verdict(kind: str) -> Callable[[str, list[Option]], Statement | None]:
    verdict = Verdict("accept" if kind == "ACCEPT" else "drop" if kind == "DROP" else "return")
    return lambda text, options: None if options else Decide(text, verdict)


def _set_mark(text: str, options: list[Option]) -> Statement | None:
    if [option.name for option in options] != ["--set-xmark"]:
        return None
    value, mask = mark_pair(options[0].value)
    return Mark(text, keep=ALL_BITS & ~mask, flip=value)


def _set_ct_mark(text: str, options: list[Option]) -> Statement | None:
    """Return what CONNMARK does; see connmark_tg of net/netfilter/xt_connmark.c."""
    by_name = {option.name: option for option in options}
    masks = [number(by_name[name].value) if name in by_name else ALL_BITS for name in ("--nfmask", "--ctmask")]
    match sorted(by_name.keys() - {"--nfmask", "--ctmask"}):
        case ["--set-xmark"]:
            value, mask = mark_pair(by_name["--set-xmark"].value)
            return Mark(text, keep=ALL_BITS & ~mask, flip=value, of="ct mark")
        case ["--save-mark"]:
            return Mark(text, keep=ALL_BITS & ~masks[1], flip=0, of="ct mark", mix=masks[0])
        case ["--restore-mark"]:
            return Mark(text, keep=ALL_BITS & ~masks[0], flip=0, mix=masks[1])
    return None


def _snat(text: str, options: list[Option]) -> Statement | None:
    if {option.name for option in options} - {"--random-fully", "--random", "--persistent"} != {"--to-source"}:
        return None
    to = next(option.value for option in options if option.name == "--to-source")
    if "-" in to:
        return None  # a range of addresses or ports
    return Masquerade(text, destination(to)[0])


def _dnat(text: str, options: list[Option]) -> Statement | None:
    names = {option.name for option in options} - {"--random", "--persistent"}
    if names != {"--to-destination"} or options[0].name != "--to-destination" or "-" in options[0].value:
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


def _beside(name: str, text: str, _: list[Option]) -> Statement:
    return Note(text, word=name)


# What says or changes something that has no part in where a packet goes.
_BESIDE = (
    *(
        "LOG",
        "NFLOG",
        "ULOG",
        "TRACE",
        "AUDIT",
        "TCPMSS",
        "CHECKSUM",
        "DSCP",
        "TOS",
        "ECN",
        "TTL",
        "HL",
        "CLASSIFY",
        "TEE",
        "LED",
    ),
    *("SECMARK", "CONNSECMARK", "IDLETIMER", "RATEEST"),
)
_TARGETS: dict[str, Callable[[str, list[Option]], Statement | None]] = {
    **{kind: _verdict(kind) for kind in ("ACCEPT", "DROP", "RETURN")},
    **{name: partial(_beside, name) for name in _BESIDE},
    "MARK": _set_mark,
    "CONNMARK": _set_ct_mark,
    "SNAT": _snat,
    "DNAT": _dnat,
    "MASQUERADE": _masquerade,
    "REJECT": _reject,
}
