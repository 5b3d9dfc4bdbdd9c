#!/bin/sh
# Somebody wanted servers to see the clients' addresses, and had not heard of externalTrafficPolicy.
ip netns exec "$node" iptables -t nat -I POSTROUTING ! -s "$pod_cidr" -d "$pod_cidr" -p tcp --dport 8080 \
    -m comment --comment "keep client addresses for the access log" -j ACCEPT
