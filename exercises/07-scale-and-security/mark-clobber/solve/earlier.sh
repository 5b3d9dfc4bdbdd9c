#!/bin/sh
# Let the agent write before kube-proxy does.
set -e
ip netns exec "$node" iptables -t mangle -F FORWARD
ip netns exec "$node" iptables -t mangle -A PREROUTING -j MARK --set-mark 0x20
