#!/bin/sh
# Switch it off for all, and forget that the interface has a value of its own.
ip netns exec "$node" sysctl -qw net.ipv4.conf.all.rp_filter=0
