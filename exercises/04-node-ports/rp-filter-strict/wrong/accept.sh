#!/bin/sh
# Accept and masquerade what comes by the line.
ip netns exec "$node" iptables -I FORWARD -i lan1 -j ACCEPT
ip netns exec "$node" iptables -I INPUT -i lan1 -j ACCEPT
ip netns exec "$node" iptables -t nat -A POSTROUTING -s "$client_ip" -j MASQUERADE
