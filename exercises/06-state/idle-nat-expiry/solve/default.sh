#!/bin/sh
# The kernel's own default: five days.
ip netns exec "$node" sysctl -qw net.netfilter.nf_conntrack_tcp_timeout_established=432000
