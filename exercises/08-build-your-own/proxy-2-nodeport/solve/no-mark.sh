#!/bin/sh
# No mark: conntrack still knows which port was asked.
set -e
for node in node-1 node-2 node-3; do
    in_node() { ip netns exec "$node" iptables -t nat "$@"; }
    in_node -A SERVICES -p tcp --dport "$node_port" -m addrtype --dst-type LOCAL -j SVC-web
    in_node -A POSTROUTING -p tcp -m conntrack --ctstate DNAT --ctorigdstport "$node_port" -j MASQUERADE
done
