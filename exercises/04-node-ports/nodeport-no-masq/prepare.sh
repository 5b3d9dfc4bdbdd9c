#!/bin/sh
# What pods send to the world has their node's address.
for one in node-1 node-2; do
    ip netns exec "$one" iptables -t nat -A POSTROUTING -s "$pod_cidr" ! -d "$pod_cidr" -o eth0 \
        -m comment --comment "egress" -j MASQUERADE
done
