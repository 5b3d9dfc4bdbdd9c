#!/bin/sh
# A hardening profile: "enable strict reverse path filtering on all interfaces". It went to both nodes.
for machine in "$node" "$other"; do
    ip netns exec "$machine" sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.default.rp_filter=1 \
        net.ipv4.conf.eth0.rp_filter=1
done
ip netns exec "$node" sysctl -qw net.ipv4.conf.lan1.rp_filter=1
