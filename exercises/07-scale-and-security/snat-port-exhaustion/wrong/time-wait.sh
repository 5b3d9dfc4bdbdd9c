#!/bin/sh
# Forget closed connections sooner.
ip netns exec "$node" sysctl -qw net.netfilter.nf_conntrack_tcp_timeout_time_wait=1
