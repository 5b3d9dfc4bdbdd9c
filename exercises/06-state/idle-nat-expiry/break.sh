#!/bin/sh
# A profile against connections that nobody closes.
ip netns exec "$node" sysctl -qw "net.netfilter.nf_conntrack_tcp_timeout_established=$gone"
