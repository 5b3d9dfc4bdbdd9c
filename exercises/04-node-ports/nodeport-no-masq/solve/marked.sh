#!/bin/sh
# Let kube-proxy have the first word, which ends with MASQUERADE for what it marked.
set -e
ip netns exec "$node" iptables -t nat -D POSTROUTING 1
ip netns exec "$node" iptables -t nat -A POSTROUTING ! -s "$pod_cidr" -d "$pod_cidr" -p tcp --dport 8080 -j ACCEPT
