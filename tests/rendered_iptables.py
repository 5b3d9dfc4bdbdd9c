"""The rules of iptables mode, chain by chain, and the names that the one service port of `tests.units` gives them."""

from __future__ import annotations

from lab.model.ruleset import Chain, Ruleset, TableName
from lab.model.service import ServiceUnit
from lab.proxy.config import ProxyConfig
from lab.proxy.iptables import render
from tests.units import CONFIG, WEB

HASH = "CDGGSHYLG3RE2FKL"
SEP_HERE, SEP_THERE = "KUBE-SEP-UIQK3OSOSTRHRPBX", "KUBE-SEP-4EX2N4PG4ASNZOBF"
COMMENT = '-m comment --comment "default/web:http'


def rendered(*service_ports: ServiceUnit, config: ProxyConfig = CONFIG, counters: bool = True) -> Ruleset:
    return render(service_ports or (WEB,), config, counters=counters)


def rules(ruleset: Ruleset, table: TableName, name: str) -> list[str]:
    """Return the rules of a chain, which has to be there."""
    chain = ruleset.chain(table, name)
    assert chain is not None, f"no chain {name} in {table}"
    return list(chain.rules)


def chains_of(ruleset: Ruleset, owner: str = "default/web") -> list[Chain]:
    """Return a Service's own chains."""
    return [chain for _, chain in ruleset.chains() if chain.owner == owner]
