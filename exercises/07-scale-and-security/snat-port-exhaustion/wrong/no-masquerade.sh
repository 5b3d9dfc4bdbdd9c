#!/bin/sh
# Do without masquerading.
ip netns exec "$node" iptables -t nat -I POSTROUTING -s "$pod_cidr" -o eth0 -j ACCEPT
