#!/bin/sh
# Keep-alives, on the node: it has no socket in this.
ip netns exec "$node" sysctl -qw net.ipv4.tcp_keepalive_time=1 net.ipv4.tcp_keepalive_intvl=1
