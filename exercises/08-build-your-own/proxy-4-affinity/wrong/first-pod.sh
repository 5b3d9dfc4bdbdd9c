#!/bin/sh
# Everybody stays with the first pod.
set -e
for node in node-1 node-2 node-3; do
    ip netns exec "$node" iptables -t nat -I SVC-web -j SEP-web-1
done
