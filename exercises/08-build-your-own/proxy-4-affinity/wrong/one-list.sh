#!/bin/sh
# One list of clients for all endpoints.
set -e
for node in node-1 node-2 node-3; do
    in_node() { ip netns exec "$node" iptables -t nat "$@"; }
    in_node -I SVC-web -m recent --name web --rcheck --seconds "$timeout" --reap -j SEP-web-1
    for pod in "web-1 $web_1_ip" "web-2 $web_2_ip" "web-3 $web_3_ip"; do
        in_node -R "SEP-${pod%% *}" 2 -p tcp -m recent --name web --set \
            -j DNAT --to-destination "${pod#* }:$server_port"
    done
done
