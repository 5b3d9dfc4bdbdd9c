#!/bin/sh
# Check loosely on the interface with the second way.
ip netns exec "$node" sysctl -qw net.ipv4.conf.lan1.rp_filter=2
