#!/bin/sh
# One rule that says both.
ip netns exec "$node" iptables -t nat -F EGRESS
ip netns exec "$node" iptables -t nat -A EGRESS -s "$pod_cidr" ! -d "$pod_cidr" -j MASQUERADE
