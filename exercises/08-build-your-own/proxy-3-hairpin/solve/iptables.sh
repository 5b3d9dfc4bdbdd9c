#!/bin/sh
# As kube-proxy does it: the endpoint's chain marks what comes from the endpoint itself.
set -e
for node in node-1 node-2 node-3; do
    for pod in "web-1 $web_1_ip" "web-2 $web_2_ip" "web-3 $web_3_ip"; do
        ip netns exec "$node" iptables -t nat -I "SEP-${pod%% *}" -s "${pod#* }" -j MARK-MASQ
    done
done
