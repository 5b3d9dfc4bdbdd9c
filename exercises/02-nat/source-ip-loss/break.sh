#!/bin/sh
# The egress rules were written anew by a script that appends in the wrong order.
ip netns exec "$node" iptables -t nat -F EGRESS
ip netns exec "$node" iptables -t nat -A EGRESS -s "$pod_cidr" -j MASQUERADE --random-fully
ip netns exec "$node" iptables -t nat -A EGRESS -d "$pod_cidr" -j RETURN
