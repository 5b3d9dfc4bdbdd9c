#!/bin/sh
# Masquerade among pods whatever was sent to another address than it asked.
set -e
for node in node-1 node-2 node-3; do
    ip netns exec "$node" iptables -t nat -A POSTROUTING -s "$pod_cidr" -d "$pod_cidr" -m conntrack --ctstate DNAT \
        -j MASQUERADE
done
