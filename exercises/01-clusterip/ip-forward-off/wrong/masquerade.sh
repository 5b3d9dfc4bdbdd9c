#!/bin/sh
# Masquerade what pods send.
ip netns exec "$node" iptables -t nat -I POSTROUTING -s "$pod_cidr" -j MASQUERADE
