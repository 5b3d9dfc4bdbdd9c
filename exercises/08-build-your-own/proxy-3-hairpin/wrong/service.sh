#!/bin/sh
# Mark all that asks the Service.
set -e
for node in node-1 node-2 node-3; do
    ip netns exec "$node" iptables -t nat -I SVC-web -j MARK-MASQ
done
