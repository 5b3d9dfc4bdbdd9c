#!/bin/sh
# Send the answers by way of the node: servers lose sight of who asks.
ip netns exec "$node" iptables -t nat -A POSTROUTING -s "$pod_cidr" -o cbr0 -j MASQUERADE
