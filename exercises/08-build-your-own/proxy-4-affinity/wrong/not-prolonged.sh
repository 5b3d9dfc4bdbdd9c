#!/bin/sh
# A client is put on a list when it is drawn, and not again when it comes back.
set -e
for node in node-1 node-2 node-3; do
    in_node() { ip netns exec "$node" iptables -t nat "$@"; }
    in_node -F SVC-web
    for pod in web-1 web-2 web-3; do
        in_node -N "DRAWN-$pod"
        in_node -A "DRAWN-$pod" -m recent --name "$pod" --set -j "SEP-$pod"
        in_node -A SVC-web -m recent --name "$pod" --rcheck --seconds "$timeout" --reap -j "SEP-$pod"
    done
    in_node -A SVC-web -m statistic --mode random --probability 0.33333333349 -j DRAWN-web-1
    in_node -A SVC-web -m statistic --mode random --probability 0.5 -j DRAWN-web-2
    in_node -A SVC-web -j DRAWN-web-3
done
