#!/bin/sh
# The cluster moved from plain routes to a tunnel; the pods kept their MTU, and a firewall profile lets no ICMP out.
for one in node-1 node-2; do
    ip -n "$one" link set cbr0 mtu 1500
    for port in $(ip -n "$one" -o link show master cbr0 | awk '{ sub("@.*", "", $2); print $2 }'); do
        ip -n "$one" link set "$port" mtu 1500
    done
    ip netns exec "$one" iptables -I OUTPUT -p icmp --icmp-type fragmentation-needed \
        -m comment --comment "baseline 7.3: nodes send no ICMP errors" -j DROP
done
for pod in web-1 web-2 client-a client-b; do
    ip -n "$pod" link set eth0 mtu 1500
done
