#!/bin/sh
# Hide the pods that ask behind the other node's address.
ip netns exec "$other" iptables -t nat -A POSTROUTING -s "$pod_cidr" -o eth0 -j MASQUERADE
