#!/bin/sh
# Masquerade pods' traffic: too late, it was dropped before.
ip netns exec "$node" iptables -t nat -I POSTROUTING -s "$pod_cidr" -j MASQUERADE
