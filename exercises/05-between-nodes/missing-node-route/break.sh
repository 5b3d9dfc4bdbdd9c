#!/bin/sh
# The network was restarted, and came back with the routes that are in its files: none for the other node's pods.
for node_ in node-1 node-2; do
    range=$(ip -n "$node_" -4 route show dev cbr0 proto kernel | cut -d ' ' -f 1)
    # The data centre's router has never heard of pods.
    ip -n router route del "$range"
    test "$node_" = "$node" || ip -n "$node" route del "$range"
done
