#!/bin/sh
# Let the agent leave out what kube-proxy has marked: that passes the shaper unsorted.
set -e
ip netns exec "$node" iptables -t mangle -F FORWARD
ip netns exec "$node" iptables -t mangle -A FORWARD -m mark ! --mark 0x4000/0x4000 -j MARK --set-mark 0x20
