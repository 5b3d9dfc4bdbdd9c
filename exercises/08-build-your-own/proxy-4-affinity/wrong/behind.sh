#!/bin/sh
# The lists are asked behind the dice.
set -e
sh -eu "$here/solve/iptables.sh"
for node in node-1 node-2 node-3; do
    in_node() { ip netns exec "$node" iptables -t nat "$@"; }
    for pod in web-1 web-2 web-3; do
        in_node -D SVC-web 1
        in_node -A SVC-web -m recent --name "$pod" --rcheck --seconds "$timeout" --reap -j "SEP-$pod"
    done
done
