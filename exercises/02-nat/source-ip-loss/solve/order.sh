#!/bin/sh
# Exempt first.
ip netns exec "$node" iptables -t nat -I EGRESS -d "$pod_cidr" -j RETURN
