#!/bin/sh
# Masquerade everything that comes from pods.
ip netns exec "$node" iptables -t nat -I POSTROUTING -s "$pod_cidr" -d "$pod_cidr" -j MASQUERADE
