#!/bin/sh
# All ports for api: the next partner has ten.
ip netns exec "$node" iptables -t nat -I POSTROUTING -s "$pod_cidr" -d "$api_ip" -o eth0 -p tcp -j MASQUERADE
