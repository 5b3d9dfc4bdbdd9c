#!/bin/sh
# Accept every TCP connection's beginning, and of UDP the one port that everybody knows.
ip netns exec "$node" iptables -A FORWARD -p tcp --syn -j ACCEPT
ip netns exec "$node" iptables -A FORWARD -p udp --dport 5353 -j ACCEPT
