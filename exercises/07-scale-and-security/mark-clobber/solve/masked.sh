#!/bin/sh
# Write the agent's own bit and no other.
set -e
ip netns exec "$node" iptables -t mangle -F FORWARD
ip netns exec "$node" iptables -t mangle -A FORWARD -j MARK --set-xmark 0x20/0x20
