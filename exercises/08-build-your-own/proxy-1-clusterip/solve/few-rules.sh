#!/bin/sh
# No chains: the same rules twice, where packets come in and where the node's own begin.
set -e
for node in node-1 node-2 node-3; do
    for hook in PREROUTING OUTPUT; do
        for choice in "3 $web_1_ip" "2 $web_2_ip" "1 $web_3_ip"; do
            ip netns exec "$node" iptables -t nat -A "$hook" -d "$svc_web_ip" -p tcp --dport 80 \
                -m statistic --mode nth --every "${choice%% *}" --packet 0 \
                -j DNAT --to-destination "${choice#* }:$server_port"
        done
    done
    for hook in FORWARD OUTPUT; do
        ip netns exec "$node" iptables -A "$hook" -d "$svc_old_ip" -p tcp --dport 80 -j REJECT --reject-with tcp-reset
    done
done
