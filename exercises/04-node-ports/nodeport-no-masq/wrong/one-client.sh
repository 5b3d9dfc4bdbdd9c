#!/bin/sh
# Masquerade who complained.
ip netns exec "$node" iptables -t nat -I POSTROUTING -s "$client_ip" -d "$pod_cidr" -p tcp --dport 8080 -j MASQUERADE
ip netns exec "$node" iptables -t nat -I POSTROUTING -s 127.0.0.1 -d "$pod_cidr" -p tcp --dport 8080 -j MASQUERADE
