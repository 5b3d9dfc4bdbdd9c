#!/bin/sh
# Hairpin mode on every port, and pods that accept packets from themselves; no rule.
set -e
for node in node-1 node-2 node-3; do
    for port in $(ip netns exec "$node" ls /sys/class/net/cbr0/brif); do
        ip netns exec "$node" bridge link set dev "$port" hairpin on
    done
done
for pod in web-1 web-2 web-3; do
    ip netns exec "$pod" sysctl -qw net.ipv4.conf.all.accept_local=1 net.ipv4.conf.eth0.accept_local=1
    ip netns exec "$pod" sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth0.rp_filter=0
done
