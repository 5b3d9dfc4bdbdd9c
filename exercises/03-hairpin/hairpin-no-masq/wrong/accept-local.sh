#!/bin/sh
# Let the pod accept packets from itself.
ip netns exec "$pod" sysctl -qw net.ipv4.conf.all.accept_local=1 net.ipv4.conf.eth0.accept_local=1
ip netns exec "$pod" sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth0.rp_filter=0
