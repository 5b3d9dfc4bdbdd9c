#!/bin/sh
# Accept what comes from pods and what goes to pods, and leave the policy.
ip netns exec "$node" iptables -A FORWARD -s "$pod_cidr" -j ACCEPT
ip netns exec "$node" iptables -A FORWARD -d "$pod_cidr" -j ACCEPT
