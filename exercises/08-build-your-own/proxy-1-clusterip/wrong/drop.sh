#!/bin/sh
# Drop what is for the Service without pods.
set -e
sh -eu "$here/solve/iptables.sh"
for node in node-1 node-2 node-3; do
    ip netns exec "$node" iptables -R SERVICES 1 -d "$svc_old_ip" -p tcp --dport 80 -j DROP
done
