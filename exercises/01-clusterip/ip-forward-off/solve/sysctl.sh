#!/bin/sh
# Let the node forward.
ip netns exec "$node" sysctl -qw net.ipv4.ip_forward=1
