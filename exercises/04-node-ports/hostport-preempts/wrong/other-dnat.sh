#!/bin/sh
# Translate to one of web's pods oneself.
ip netns exec "$node" iptables -t nat -I CNI-HOSTPORT-DNAT -p tcp --dport 30080 \
    -j DNAT --to-destination "$web_1_ip:8080"
