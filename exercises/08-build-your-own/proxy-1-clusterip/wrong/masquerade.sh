#!/bin/sh
# Masquerade whatever leaves a node, so that replies come back for sure.
set -e
sh -eu "$here/solve/iptables.sh"
for node in node-1 node-2 node-3; do
    ip netns exec "$node" iptables -t nat -A POSTROUTING -j MASQUERADE
done
