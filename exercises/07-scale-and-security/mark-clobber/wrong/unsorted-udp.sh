#!/bin/sh
# Let the agent mark TCP alone: no datagram is sorted any more.
set -e
ip netns exec "$node" iptables -t mangle -F FORWARD
ip netns exec "$node" iptables -t mangle -A FORWARD -p tcp -j MARK --set-xmark 0x20/0x20
