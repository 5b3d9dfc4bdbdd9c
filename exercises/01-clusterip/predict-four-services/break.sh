#!/bin/sh
# Two rules of somebody's firewall, on every node.
for each in node-1 node-2; do
    ip netns exec "$each" iptables -I FORWARD -d "$svc_shop_ip" -p tcp --dport 80 -j DROP
    ip netns exec "$each" iptables -I FORWARD -d "$store_1_ip" -p tcp --dport 8080 -j DROP
done
