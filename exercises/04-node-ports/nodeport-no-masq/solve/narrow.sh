#!/bin/sh
# Keep clients' addresses where nothing is lost by it: for the node's own pods.
set -e
ip netns exec "$node" iptables -t nat -D POSTROUTING 1
ip netns exec "$node" iptables -t nat -I POSTROUTING -o cbr0 ! -s "$pod_cidr" -m addrtype ! --src-type LOCAL -j ACCEPT
