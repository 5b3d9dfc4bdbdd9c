#!/bin/sh
# What pods send to the world, and not to pods, has their node's address.
for one in node-1 node-2; do
    ip netns exec "$one" iptables -t nat -N EGRESS
    ip netns exec "$one" iptables -t nat -A EGRESS -d "$pod_cidr" -j RETURN
    ip netns exec "$one" iptables -t nat -A EGRESS -s "$pod_cidr" -j MASQUERADE --random-fully
    ip netns exec "$one" iptables -t nat -A POSTROUTING -o eth0 -j EGRESS
done
