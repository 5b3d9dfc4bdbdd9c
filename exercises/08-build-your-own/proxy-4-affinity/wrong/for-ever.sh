#!/bin/sh
# Clients are remembered, and never forgotten.
set -e
sh -eu "$here/solve/iptables.sh"
for node in node-1 node-2 node-3; do
    number=0
    for pod in web-1 web-2 web-3; do
        number=$((number + 1))
        ip netns exec "$node" iptables -t nat -R SVC-web "$number" -m recent --name "$pod" --rcheck -j "SEP-$pod"
    done
done
