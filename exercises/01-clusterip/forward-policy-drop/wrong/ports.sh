#!/bin/sh
# Accept the ports of those who complained, and forget all other Services.
ip netns exec "$node" iptables -A FORWARD -p tcp --dport 8080 -j ACCEPT
ip netns exec "$node" iptables -A FORWARD -p udp --dport 5353 -j ACCEPT
