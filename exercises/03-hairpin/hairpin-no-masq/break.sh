#!/bin/sh
# An agent says before kube-proxy that traffic among pods is never to be masqueraded. It meant to be thorough.
set -e
in_node() { ip netns exec "$node" iptables -t nat "$@"; }
in_node -N KEEP-POD-ADDRESS
in_node -A KEEP-POD-ADDRESS -s "$pod_cidr" -d "$pod_cidr" -m comment --comment "pods see each other" -j ACCEPT
in_node -I POSTROUTING -j KEEP-POD-ADDRESS
