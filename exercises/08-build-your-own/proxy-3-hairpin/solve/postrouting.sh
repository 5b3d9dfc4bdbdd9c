#!/bin/sh
# No mark: where a packet leaves with the same address twice, it was sent back.
set -e
for node in node-1 node-2 node-3; do
    for address in "$web_1_ip" "$web_2_ip" "$web_3_ip"; do
        ip netns exec "$node" iptables -t nat -A POSTROUTING -s "$address" -d "$address" -j MASQUERADE
    done
done
