#!/bin/sh
# The right rule at the wrong place: behind DNAT, which ends the chain.
set -e
for node in node-1 node-2 node-3; do
    for pod in "web-1 $web_1_ip" "web-2 $web_2_ip" "web-3 $web_3_ip"; do
        ip netns exec "$node" iptables -t nat -A "SEP-${pod%% *}" -s "${pod#* }" -j MARK-MASQ
    done
done
