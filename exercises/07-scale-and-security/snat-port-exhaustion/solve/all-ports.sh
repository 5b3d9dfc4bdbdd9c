#!/bin/sh
# Masquerade with all ports.
in_node() { ip netns exec "$node" iptables -t nat "$@"; }
in_node -D POSTROUTING -s "$pod_cidr" ! -d "$pod_cidr" -o eth0 -p tcp -m comment --comment "egress" \
    -j MASQUERADE --to-ports "$range"
