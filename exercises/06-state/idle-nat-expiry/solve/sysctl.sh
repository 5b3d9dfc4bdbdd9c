#!/bin/sh
# As long as kube-proxy would have it: a day.
ip netns exec "$node" sysctl -qw net.netfilter.nf_conntrack_tcp_timeout_established=86400
