#!/bin/sh
# One third for each of the three.
set -e
sh -eu "$here/solve/iptables.sh"
third() { ip netns exec "$node" iptables -t nat -R SVC-web "$@" -m statistic --mode random --probability 0.33; }
for node in node-1 node-2 node-3; do
    third 2 -j SEP-web-2
    third 3 -j SEP-web-3
done
