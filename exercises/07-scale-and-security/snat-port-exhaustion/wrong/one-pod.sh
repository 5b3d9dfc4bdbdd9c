#!/bin/sh
# All ports for the pod that complained.
ip netns exec "$node" iptables -t nat -I POSTROUTING -s "$asker_ip" ! -d "$pod_cidr" -o eth0 -p tcp -j MASQUERADE
