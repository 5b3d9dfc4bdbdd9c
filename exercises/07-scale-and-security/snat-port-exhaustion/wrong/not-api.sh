#!/bin/sh
# Do without masquerading for api alone.
ip netns exec "$node" iptables -t nat -I POSTROUTING -d "$api_ip" -p tcp --dport 443 -j ACCEPT
