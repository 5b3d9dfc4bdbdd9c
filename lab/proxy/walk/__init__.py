"""A packet's way through the rules of one node, told without a kernel: `explain`.

`ask` says whether a statement holds for a packet, `rule` what a rule does with it, `hook` takes it through the chains
of one hook, and `way` from hook to hook. Nothing is guessed: a random choice becomes several ways, each with its
share, and a rule that asks or does something unknown ends its way there.

This is no second netfilter: it walks a connection's first packet through what kube-proxy writes.
"""

from lab.proxy.walk.hook import title
from lab.proxy.walk.way import explain

__all__ = ["explain", "title"]
