#!/bin/sh
# The network was restarted, and came back with the routes that are in its files: none for the other node's pods.
for node_ in node-1 node-2; do
    range=$(ip -n "$node_" -4 route show dev cbr0 proto kernel | cut -d ' ' -f 1)
    ip -n router route del "$range"
    test "$node_" = "$node" || ip -n "$node" route del "$range"
done
# The data centre's router has never heard of pods, nor will it let anything through to them.
ip netns exec router iptables -A FORWARD -d "$pod_cidr" -j DROP
