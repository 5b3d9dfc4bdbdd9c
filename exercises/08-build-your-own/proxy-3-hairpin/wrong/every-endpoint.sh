#!/bin/sh
# Mark what comes from any pod of the Service, before the choice.
set -e
for node in node-1 node-2 node-3; do
    for address in "$web_1_ip" "$web_2_ip" "$web_3_ip"; do
        ip netns exec "$node" iptables -t nat -I SVC-web -s "$address" -j MARK-MASQ
    done
done
