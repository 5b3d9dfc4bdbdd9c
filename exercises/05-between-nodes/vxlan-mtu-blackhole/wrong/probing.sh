#!/bin/sh
# Let TCP find out by itself.
for pod in web-1 web-2 client-a client-b; do
    ip netns exec "$pod" sysctl -qw net.ipv4.tcp_mtu_probing=1
done
