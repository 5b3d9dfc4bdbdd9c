#!/bin/sh
# The port of the node's address in the nodes' network and of 127.0.0.1, and not the bridge's.
set -e
sh -eu "$here/solve/iptables.sh"
for pair in "node-1 $node_1_ip" "node-2 $node_2_ip" "node-3 $node_3_ip"; do
    ip netns exec "${pair%% *}" iptables -t nat -R SERVICES 2 -d "${pair#* }" -j NODEPORTS
    ip netns exec "${pair%% *}" iptables -t nat -A SERVICES -d 127.0.0.1 -j NODEPORTS
done
