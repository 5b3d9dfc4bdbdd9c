#!/bin/sh
# Masquerade what does not come from pods.
set -e
for node in node-1 node-2 node-3; do
    in_node() { ip netns exec "$node" iptables -t nat "$@"; }
    in_node -A SERVICES -p tcp --dport "$node_port" -m addrtype --dst-type LOCAL -j SVC-web
    in_node -A POSTROUTING ! -s "$pods" -m conntrack --ctstate DNAT -j MASQUERADE
done
