#!/bin/sh
# One pod of each node, since the other one has the same bridge.
set -e
for node in node-1 node-2 node-3; do
    for pod in "web-1 $web_1_ip" "web-2 $web_2_ip"; do
        ip netns exec "$node" iptables -t nat -I "SEP-${pod%% *}" -s "${pod#* }" -j MARK-MASQ
    done
done
