#!/bin/sh
# Only for what comes in, and not for what the node sends itself.
set -e
sh -eu "$here/solve/iptables.sh"
for node in node-1 node-2 node-3; do
    ip netns exec "$node" iptables -t nat -D OUTPUT -j SERVICES
done
