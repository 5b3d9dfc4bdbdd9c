#!/bin/sh
# Masquerade where the packet arrives.
other=node-1
test "$node" = node-2 || other=node-2
ip netns exec "$other" iptables -t nat -I POSTROUTING -p tcp --dport 8080 -j MASQUERADE
