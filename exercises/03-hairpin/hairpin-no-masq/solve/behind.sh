#!/bin/sh
# Move the agent's chain behind kube-proxy's.
set -e
ip netns exec "$node" iptables -t nat -D POSTROUTING -j KEEP-POD-ADDRESS
ip netns exec "$node" iptables -t nat -A POSTROUTING -j KEEP-POD-ADDRESS
