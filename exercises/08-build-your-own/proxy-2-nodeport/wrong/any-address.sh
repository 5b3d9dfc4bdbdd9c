#!/bin/sh
# The port alone, whatever the address.
set -e
sh -eu "$here/solve/iptables.sh"
for node in node-1 node-2 node-3; do
    ip netns exec "$node" iptables -t nat -R SERVICES 2 -p tcp --dport "$node_port" -j NODEPORTS
done
