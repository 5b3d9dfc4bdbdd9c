#!/bin/sh
# One third, one third of what is left, and the rest: 33, 22 and 45 of a hundred.
set -e
sh -eu "$here/solve/iptables.sh"
for node in node-1 node-2 node-3; do
    ip netns exec "$node" iptables -t nat -R SVC-web 2 -m statistic --mode random --probability 0.33333333349 -j SEP-web-2
done
