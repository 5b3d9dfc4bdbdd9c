#!/bin/sh
# The port of the node's address in the nodes' network, and no other.
set -e
sh -eu "$here/solve/iptables.sh"
for pair in "node-1 $node_1_ip" "node-2 $node_2_ip" "node-3 $node_3_ip"; do
    ip netns exec "${pair%% *}" iptables -t nat -R SERVICES 2 -d "${pair#* }" -j NODEPORTS
done
