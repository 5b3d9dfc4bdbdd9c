#!/bin/sh
# Let the agent set kube-proxy's bit as well: everything is masqueraded.
set -e
ip netns exec "$node" iptables -t mangle -F FORWARD
ip netns exec "$node" iptables -t mangle -A FORWARD -j MARK --set-xmark 0x20/0x20
ip netns exec "$node" iptables -t mangle -A FORWARD -j MARK --or-mark 0x4000
