#!/bin/sh
# Shorten the timeout, for entries to come.
ip netns exec "$node" sysctl -qw net.netfilter.nf_conntrack_tcp_timeout_established=60
