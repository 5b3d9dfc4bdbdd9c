#!/bin/sh
# Let the bridge alone forward.
ip netns exec "$node" sysctl -qw net.ipv4.conf.cbr0.forwarding=1
