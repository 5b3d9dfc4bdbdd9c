#!/bin/sh
# Mind kube-proxy's bit in TCP's packets only.
set -e
ip netns exec "$node" iptables -t mangle -F FORWARD
ip netns exec "$node" iptables -t mangle -A FORWARD -p tcp -j MARK --set-xmark 0x20/0x20
ip netns exec "$node" iptables -t mangle -A FORWARD ! -p tcp -j MARK --set-mark 0x20
