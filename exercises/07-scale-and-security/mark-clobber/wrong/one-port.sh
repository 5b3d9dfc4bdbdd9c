#!/bin/sh
# Mind it where somebody complained: in what goes to port 8080, and in datagrams.
set -e
ip netns exec "$node" iptables -t mangle -F FORWARD
ip netns exec "$node" iptables -t mangle -A FORWARD -j MARK --set-xmark 0x20/0x20
ip netns exec "$node" iptables -t mangle -A FORWARD -p tcp ! --dport 8080 -j MARK --set-mark 0x20
