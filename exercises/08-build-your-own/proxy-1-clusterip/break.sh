#!/bin/sh
# kube-proxy was removed, and somebody cleaned up behind it: not a rule is left, on any node.
set -e
for node in node-1 node-2 node-3; do
    for tool in iptables ip6tables; do
        printf '*%s\nCOMMIT\n' filter nat mangle | ip netns exec "$node" "$tool-restore"
    done
done
