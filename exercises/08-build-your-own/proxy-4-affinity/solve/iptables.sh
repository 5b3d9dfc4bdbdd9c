#!/bin/sh
# As kube-proxy does it: a list of clients for each endpoint, which is asked before the dice.
set -e
for node in node-1 node-2 node-3; do
    in_node() { ip netns exec "$node" iptables -t nat "$@"; }
    for pod in web-3 web-2 web-1; do
        in_node -I SVC-web -m recent --name "$pod" --rcheck --seconds "$timeout" --reap -j "SEP-$pod"
    done
    for pod in "web-1 $web_1_ip" "web-2 $web_2_ip" "web-3 $web_3_ip"; do
        in_node -R "SEP-${pod%% *}" 2 -p tcp -m recent --name "${pod%% *}" --set \
            -j DNAT --to-destination "${pod#* }:$server_port"
    done
done
