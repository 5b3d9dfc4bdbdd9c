#!/bin/sh
# The lists are asked by who comes by the ClusterIP, and by nobody else.
set -e
sh -eu "$here/solve/iptables.sh"
for node in node-1 node-2 node-3; do
    number=0
    for pod in web-1 web-2 web-3; do
        number=$((number + 1))
        ip netns exec "$node" iptables -t nat -R SVC-web "$number" -d "$svc_web_ip" \
            -m recent --name "$pod" --rcheck --seconds "$timeout" --reap -j "SEP-$pod"
    done
done
