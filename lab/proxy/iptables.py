"""kube-proxy's iptables mode: the fixed chains, their hooks, and the rules of every service port put in place.

Source: syncProxyRules, pkg/proxy/iptables/proxier.go. Rules are in iptables-save's form, which orders matches and
spells marks and probabilities differently from what kube-proxy writes; in the kernel both are the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from lab.model.ruleset import Chain, Place, Ruleset, ServiceRules, Table, chain_lines, gather
from lab.model.service import ServiceUnit
from lab.proxy.config import ProxyConfig
from lab.proxy.iptables_service import service_rules
from lab.proxy.iptables_words import (
    EXTERNALLY_UNSERVED,
    FIREWALL,
    HEALTH,
    LOCALHOST_COUNTER,
    NODE_PORTS,
    SERVICES,
    UNSERVED,
    Context,
)
from lab.proxy.names import address_text

INVALID_COUNTER = "ct_state_invalid_dropped_pkts"
COUNTERS = (INVALID_COUNTER, LOCALHOST_COUNTER)
PIECE = 500  # lines, some 50 kB: less is written in no less time
LARGE_CLUSTER = 1000  # largeClusterEndpointsThreshold: with more endpoints rules that repeat lose their comments

NEW = "-m conntrack --ctstate NEW "
LOCALNET = (
    '! -s 127.0.0.0/8 -d 127.0.0.0/8 -m comment --comment "block incoming localnet connections"'
    " -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP"
)
CANARY = Chain("KUBE-PROXY-CANARY")  # kube-proxy looks for it to notice that somebody flushed a table

# kube-proxy prepends one jump after the other to each built-in chain; this is the order that a packet meets them in.
_HOOKS: dict[Place, tuple[str, ...]] = {
    ("filter", "INPUT"): (
        "-j KUBE-FIREWALL",
        f'{NEW}-m comment --comment "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL',
        '-m comment --comment "kubernetes health check service ports" -j KUBE-NODEPORTS',
        f'{NEW}-m comment --comment "kubernetes externally-visible service portals" -j KUBE-EXTERNAL-SERVICES',
    ),
    ("filter", "FORWARD"): (
        f'{NEW}-m comment --comment "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL',
        '-m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD',
        f'{NEW}-m comment --comment "kubernetes service portals" -j KUBE-SERVICES',
        f'{NEW}-m comment --comment "kubernetes externally-visible service portals" -j KUBE-EXTERNAL-SERVICES',
    ),
    ("filter", "OUTPUT"): (
        "-j KUBE-FIREWALL",
        f'{NEW}-m comment --comment "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL',
        f'{NEW}-m comment --comment "kubernetes service portals" -j KUBE-SERVICES',
    ),
    ("nat", "PREROUTING"): ('-m comment --comment "kubernetes service portals" -j KUBE-SERVICES',),
    ("nat", "OUTPUT"): ('-m comment --comment "kubernetes service portals" -j KUBE-SERVICES',),
    ("nat", "POSTROUTING"): ('-m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING',),
}


def render(units: Sequence[ServiceUnit], config: ProxyConfig, *, counters: bool = True) -> Ruleset:
    """Return all rules of one family on one node, service ports in the order given.

    `counters`: whether the node has nfacct; without it the matches that only count are left out, as kube-proxy does.
    Raises `TopologyError` if a name or an address cannot stand in a rule.
    """
    context = context_of(units, config, counters=counters)
    return assemble([service_rules(unit, context) for unit in units], context)


def context_of(units: Iterable[ServiceUnit], config: ProxyConfig, *, counters: bool = True) -> Context:
    """Return what the rules of all `units` have in common; endpoints of any condition count as endpoints."""
    return Context(config, large=sum(len(unit.endpoints) for unit in units) > LARGE_CLUSTER, counters=counters)


def assemble(parts: Iterable[ServiceRules], context: Context) -> Ruleset:
    """Return the complete ruleset made of the fixed chains and the rules of every service port."""
    parts = list(parts)
    shared = gather(rule for part in parts for rule in part.shared)
    shared.setdefault(SERVICES, []).extend(_to_node_ports(context.config))
    own = [chain for part in parts for chain in part.chains]
    return Ruleset(
        family=context.config.family,
        tables=(
            Table("mangle", (CANARY,)),
            Table("filter", (*_hooks("filter"), *_filter_chains(context, shared))),
            Table("nat", (*_hooks("nat"), *_nat_chains(context.config, shared), *own)),
        ),
        counters=_counters(context),
    )


def pieces(units: Sequence[ServiceUnit], config: ProxyConfig, *, counters: bool = True) -> Iterator[str]:
    """Yield the text of what `render` returns, some service ports in each piece.

    The table nat comes first, with the chains of each service port together; what all share comes when all are known.
    """
    context = context_of(units, config, counters=counters)
    fixed = assemble((), context)
    nat = next(table for table in fixed.tables if table.name == "nat")
    yield _text(("*nat", *chain_lines([replace(chain, rules=()) for chain in nat.chains])))
    shared = []
    lines: list[str] = []
    for unit in units:
        part = service_rules(unit, context)
        shared.append(ServiceRules(part.owner, (), part.shared))
        lines += chain_lines(part.chains)
        if len(lines) > PIECE:
            yield _text(lines)
            lines = []
    yield _text(lines)
    complete = assemble(shared, context)
    *others, nat = complete.tables
    rules = [f"-A {chain.name} {rule}" for chain in nat.chains for rule in chain.rules]
    yield _text((*rules, "COMMIT"))
    for table in others:
        yield _text(table.lines())


def _text(lines: Iterable[str]) -> str:
    return "".join([f"{line}\n" for line in lines])


def _counters(context: Context) -> tuple[str, ...]:
    """Return the nfacct objects that kube-proxy makes: in both families and whether or not a rule uses them."""
    return COUNTERS if context.counters else ()


def _hooks(table: str) -> Iterable[Chain]:
    return (Chain(name, rules) for (where, name), rules in _HOOKS.items() if where == table)


def _filter_chains(context: Context, shared: dict[Place, list[str]]) -> Iterable[Chain]:
    for _, name in (UNSERVED, EXTERNALLY_UNSERVED):
        yield Chain(name, tuple(shared.get(("filter", name), ())))
    yield Chain("KUBE-FORWARD", tuple(_forward(context)))
    for _, name in (HEALTH, FIREWALL):
        yield Chain(name, tuple(shared.get(("filter", name), ())))
    yield Chain("KUBE-FIREWALL", tuple(_firewall(context.config)))
    yield CANARY


def _nat_chains(config: ProxyConfig, shared: dict[Place, list[str]]) -> Iterable[Chain]:
    for _, name in (SERVICES, NODE_PORTS):
        yield Chain(name, tuple(shared.get(("nat", name), ())))
    yield from postrouting(config)
    yield CANARY


def postrouting(config: ProxyConfig) -> Iterable[Chain]:
    """Yield the chains that mark a packet to be masqueraded, and masquerade it."""
    mark = f"{config.masquerade_mark:#x}"
    yield Chain(
        "KUBE-POSTROUTING",
        (
            f"-m mark ! --mark {mark}/{mark} -j RETURN",
            f"-j MARK --set-xmark {mark}/0x0",  # clear it, lest a packet that is tunnelled is masqueraded twice
            '-m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE --random-fully',
        ),
    )
    yield Chain("KUBE-MARK-MASQ", (f"-j MARK --set-xmark {mark}/{mark}",))


def _forward(context: Context) -> Iterable[str]:
    config = context.config
    if not config.tcp_be_liberal:  # a packet that conntrack cannot place escapes un-DNAT, and its receiver resets
        count = f"-m nfacct --nfacct-name  {INVALID_COUNTER} " if context.counters else ""
        yield f"-m conntrack --ctstate INVALID {count}-j DROP"
    mark = f"{config.masquerade_mark:#x}"
    yield f'-m comment --comment "kubernetes forwarding rules" -m mark --mark {mark}/{mark} -j ACCEPT'
    conntrack = "-m conntrack --ctstate RELATED,ESTABLISHED"
    yield f'-m comment --comment "kubernetes forwarding conntrack rule" {conntrack} -j ACCEPT'


def _firewall(config: ProxyConfig) -> Iterable[str]:
    """Yield the rule that keeps outsiders from reaching 127.0.0.0/8 through route_localnet."""
    if config.localhost_node_ports:
        yield LOCALNET


def _to_node_ports(config: ProxyConfig) -> Iterable[str]:
    """Yield the last rules of nat KUBE-SERVICES: what is for this node may be for a NodePort."""
    comment = '-m comment --comment "kubernetes service nodeports; NOTE: this must be the last rule in this chain"'
    jump = "-j KUBE-NODEPORTS"
    if not config.node_port_networks:
        match = ""
        if config.family == "ipv6":
            match = "! -d ::1/128 "
        elif not config.localhost_node_ports:
            match = "! -d 127.0.0.0/8 "
        yield f"{match}{comment} -m addrtype --dst-type LOCAL {jump}"
        return
    for address in config.node_port_addresses:
        if not address.is_loopback or config.localhost_node_ports:
            yield f"-d {address_text(address)}/{address.max_prefixlen} {comment} {jump}"
