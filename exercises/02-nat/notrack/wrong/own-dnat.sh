#!/bin/sh
# Translate oneself.
ip netns exec "$node" iptables -t nat -I PREROUTING -d "$svc_web_ip" -p tcp --dport 80 \
    -j DNAT --to-destination "$web_1_ip:8080"
