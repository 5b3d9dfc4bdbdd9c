#!/bin/sh
# Let conntrack be generous.
ip netns exec "$node" sysctl -qw net.netfilter.nf_conntrack_tcp_be_liberal=1 net.netfilter.nf_conntrack_tcp_loose=1
