#!/bin/sh
# One half for each.
in_node() { ip netns exec "$node" iptables -t nat "$@"; }
for number in 1 2 3 4; do
    eval "address=\$web_${number}_ip"
    in_node -R FAIR-LB "$number" -p tcp -m statistic --mode random --probability 0.5 \
        -j DNAT --to-destination "$address:8080"
done
