#!/bin/sh
# As kube-proxy does it: what comes by the node port is marked, and what is marked is masqueraded at the end.
set -e
for node in node-1 node-2 node-3; do
    ip netns exec "$node" iptables-restore --noflush <<RULES
*nat
:NODEPORTS -
:EXT-web -
:MARK-MASQ -
-A SERVICES -m addrtype --dst-type LOCAL -j NODEPORTS
-A NODEPORTS -p tcp --dport $node_port -j EXT-web
-A EXT-web -j MARK-MASQ
-A EXT-web -j SVC-web
-A MARK-MASQ -j MARK --or-mark 0x4000
-A POSTROUTING -m mark --mark 0x4000/0x4000 -j MASQUERADE --random-fully
COMMIT
RULES
done
