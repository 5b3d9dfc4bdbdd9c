#!/bin/sh
# Be liberal about sequence numbers.
ip netns exec "$node" sysctl -qw net.netfilter.nf_conntrack_tcp_be_liberal=1
