#!/bin/sh
# Another address, but the Service's port.
set -e
sh -eu "$here/solve/iptables.sh"
for node in node-1 node-2 node-3; do
    for pod in "web-1 $web_1_ip" "web-2 $web_2_ip" "web-3 $web_3_ip"; do
        ip netns exec "$node" iptables -t nat -R "SEP-${pod%% *}" 1 -p tcp -j DNAT --to-destination "${pod#* }"
    done
done
