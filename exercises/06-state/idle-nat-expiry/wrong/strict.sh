#!/bin/sh
# Take no connection up in the middle: then it hangs where it was reset.
ip netns exec "$node" sysctl -qw net.netfilter.nf_conntrack_tcp_loose=0
