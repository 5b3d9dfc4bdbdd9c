#!/bin/sh
# One half for each of the three.
set -e
sh -eu "$here/solve/iptables.sh"
for node in node-1 node-2 node-3; do
    ip netns exec "$node" iptables -t nat -R SVC-web 1 -m statistic --mode random --probability 0.5 -j SEP-web-1
done
