#!/bin/sh
# Masquerade the pod's TCP to itself, and forget UDP.
ip netns exec "$node" iptables -t nat -I POSTROUTING -s "$pod_ip" -d "$pod_ip" -p tcp -j MASQUERADE
