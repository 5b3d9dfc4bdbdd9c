#!/bin/sh
# The node port leads to the Service's chain, and that is all.
set -e
for node in node-1 node-2 node-3; do
    ip netns exec "$node" iptables -t nat -A SERVICES -p tcp --dport "$node_port" \
        -m addrtype --dst-type LOCAL -j SVC-web
done
