"""`release: classic`: the rules that most articles show, those of Kubernetes 1.20.

Source: syncProxyRules of pkg/proxy/iptables/proxier.go as it was in 1.20, and what kubelet installed then
(syncNetworkUtil, pkg/kubelet/kubelet_network_linux.go): KUBE-MARK-DROP and KUBE-FIREWALL. tests/golden/classic holds
what the two installed in 1.20.2. Unlike today nothing is dropped where it is recognised, since the nat table must not:
it is marked, and KUBE-FIREWALL drops what is marked on INPUT and OUTPUT. A packet that is forwarded passes neither, and
survives.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from lab.errors import TopologyError
from lab.model.ruleset import Chain, Place, Ruleset, ServiceRules, Table, gather
from lab.model.service import ServiceUnit
from lab.proxy.classic_service import service_rules
from lab.proxy.config import ProxyConfig
from lab.proxy.iptables import CANARY, LOCALNET, NEW, context_of, postrouting
from lab.proxy.iptables_words import EXTERNALLY_UNSERVED, NODE_PORTS, SERVICES, UNSERVED, Context
from lab.proxy.names import address_text

NO_NFTABLES = "the classic release has no nftables mode; expected mode iptables"
DROP_MARK = 1 << 15
"""kubelet's iptablesDropBit, which nobody changed."""

_DROPPED = f"{DROP_MARK:#x}/{DROP_MARK:#x}"
_PORTALS = '-m comment --comment "kubernetes service portals" -j KUBE-SERVICES'
_EXTERNAL = f'{NEW}-m comment --comment "kubernetes externally-visible service portals" -j KUBE-EXTERNAL-SERVICES'

# kubelet came first: kube-proxy, which it starts, put its own jumps before kubelet's.
_HOOKS: dict[Place, tuple[str, ...]] = {
    ("filter", "INPUT"): (_EXTERNAL, "-j KUBE-FIREWALL"),
    ("filter", "FORWARD"): (
        '-m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD',
        f"{NEW}{_PORTALS}",
        _EXTERNAL,
    ),
    ("filter", "OUTPUT"): (f"{NEW}{_PORTALS}", "-j KUBE-FIREWALL"),
    ("nat", "PREROUTING"): (_PORTALS,),
    ("nat", "OUTPUT"): (_PORTALS,),
    ("nat", "POSTROUTING"): ('-m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING',),
}


def render(units: Sequence[ServiceUnit], config: ProxyConfig) -> Ruleset:
    """Return all rules of one family on one node, service ports in the order given.

    Raises `TopologyError` if a name or an address cannot stand in a rule, or if two marks are one.
    """
    context = context_of(units, config, counters=False)  # nfacct came after 1.30
    return assemble([service_rules(unit, context) for unit in units], context)


def assemble(parts: Iterable[ServiceRules], context: Context) -> Ruleset:
    """Return the complete ruleset made of the fixed chains and the rules of every service port."""
    config = context.config
    if config.masquerade_mark == DROP_MARK:
        raise TopologyError("iptables.masqueradeBit 15 is the bit of KUBE-MARK-DROP in the classic release", hint="14")
    parts = list(parts)
    shared = gather(rule for part in parts for rule in part.shared)
    shared.setdefault(SERVICES, []).extend(_to_node_ports(config))
    own = [chain for part in parts for chain in part.chains]
    return Ruleset(
        family=config.family,
        tables=(
            Table("mangle", (CANARY,)),
            Table("filter", (*_hooks("filter"), *_filter_chains(config, shared))),
            Table("nat", (*_hooks("nat"), *_nat_chains(config, shared), *own)),
        ),
    )


def _hooks(table: str) -> Iterator[Chain]:
    return (Chain(name, rules) for (where, name), rules in _HOOKS.items() if where == table)


def _filter_chains(config: ProxyConfig, shared: dict[Place, list[str]]) -> Iterator[Chain]:
    for place in (UNSERVED, EXTERNALLY_UNSERVED):
        yield Chain(place[1], tuple(shared.get(place, ())))
    yield Chain("KUBE-FORWARD", tuple(_forward(config)))
    yield Chain("KUBE-FIREWALL", tuple(_firewall(config)))
    yield CANARY


def _nat_chains(config: ProxyConfig, shared: dict[Place, list[str]]) -> Iterator[Chain]:
    for place in (SERVICES, NODE_PORTS):
        yield Chain(place[1], tuple(shared.get(place, ())))
    yield from postrouting(config)
    yield Chain("KUBE-MARK-DROP", (f"-j MARK --set-xmark {_DROPPED}",))
    yield CANARY


def _forward(config: ProxyConfig) -> Iterator[str]:
    mark = f"{config.masquerade_mark:#x}"
    yield "-m conntrack --ctstate INVALID -j DROP"
    yield f'-m comment --comment "kubernetes forwarding rules" -m mark --mark {mark}/{mark} -j ACCEPT'
    for side in ("source", "destination"):  # before 1.18 they named the cluster CIDR, once as each
        comment = f'-m comment --comment "kubernetes forwarding conntrack pod {side} rule"'
        yield f"{comment} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"


def _firewall(config: ProxyConfig) -> Iterator[str]:
    comment = '-m comment --comment "kubernetes firewall for dropping marked packets"'
    yield f"{comment} -m mark --mark {_DROPPED} -j DROP"
    if config.family == "ipv4":
        yield LOCALNET


def _to_node_ports(config: ProxyConfig) -> Iterator[str]:
    """Yield the last rules of nat KUBE-SERVICES: what is for this node may be for a NodePort."""
    comment = '-m comment --comment "kubernetes service nodeports; NOTE: this must be the last rule in this chain"'
    if not config.node_port_networks:
        yield f"{comment} -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS"
    for address in config.node_port_addresses:
        yield f"-d {address_text(address)}/{address.max_prefixlen} {comment} -j KUBE-NODEPORTS"
