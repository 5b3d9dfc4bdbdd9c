#!/bin/sh
# Switch it off for the interface, and forget that there is a value for all.
ip netns exec "$node" sysctl -qw net.ipv4.conf.lan1.rp_filter=0
