#!/bin/sh
# Accept pods' TCP, and forget DNS.
ip netns exec "$node" iptables -A FORWARD -p tcp -s "$pod_cidr" -j ACCEPT
ip netns exec "$node" iptables -A FORWARD -p tcp -d "$pod_cidr" -j ACCEPT
