#!/bin/sh
# The firewall team wants to know which ports are ours: "ten will do".
in_node() { ip netns exec "$node" iptables -t nat "$@"; }
in_node -D POSTROUTING -s "$pod_cidr" ! -d "$pod_cidr" -o eth0 -m comment --comment "egress" \
    -j MASQUERADE --random-fully
in_node -A POSTROUTING -s "$pod_cidr" ! -d "$pod_cidr" -o eth0 -p tcp -m comment --comment "egress" \
    -j MASQUERADE --to-ports "$range"
in_node -A POSTROUTING -s "$pod_cidr" ! -d "$pod_cidr" -o eth0 -m comment --comment "egress" -j MASQUERADE
