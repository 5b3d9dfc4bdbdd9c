#!/bin/sh
# Masquerade what comes from outside by a rule of one's own.
ip netns exec "$node" iptables -t nat -A POSTROUTING ! -s "$pod_cidr" -d "$pod_cidr" -j MASQUERADE
