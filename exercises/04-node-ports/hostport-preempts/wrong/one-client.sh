#!/bin/sh
# Let kube-proxy have the first choice, for who complained.
ip netns exec "$node" iptables -t nat -I PREROUTING -s "$client_ip" -p tcp --dport 30080 -j KUBE-SERVICES
