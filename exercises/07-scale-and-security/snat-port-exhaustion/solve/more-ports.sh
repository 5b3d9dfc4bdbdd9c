#!/bin/sh
# A larger range, which the firewall can be told.
ip netns exec "$node" iptables -t nat -I POSTROUTING -s "$pod_cidr" ! -d "$pod_cidr" -o eth0 -p tcp \
    -j MASQUERADE --to-ports 40000-44999 --random
