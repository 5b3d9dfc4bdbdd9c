#!/bin/sh
# Every fifth for each.
in_node() { ip netns exec "$node" iptables -t nat "$@"; }
number=0
for pod in $order; do
    number=$((number + 1))
    eval "address=\$${pod}_ip"
    test "$number" -eq 5 ||
        in_node -R FAIR-LB "$number" -p tcp -m statistic --mode nth --every 5 --packet 0 \
            -j DNAT --to-destination "$address:8080"
done
