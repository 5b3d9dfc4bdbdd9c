#!/bin/sh
# Masquerade whatever the pod sends to pods: the others do not see its address any more.
eval "address=\$$(echo "$pod" | tr - _)_ip"
ip netns exec "$node" iptables -t nat -I POSTROUTING -s "$address" -d "$pod_cidr" -j MASQUERADE
