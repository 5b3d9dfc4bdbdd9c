#!/bin/sh
# Right probabilities, and the Service's own pods are left to kube-proxy, which knows what a hairpin needs.
in_node() { ip netns exec "$node" iptables -t nat "$@"; }
number=0
for probability in 0.2 0.25 0.33333333349 0.5; do
    number=$((number + 1))
    eval "address=\$web_${number}_ip"
    in_node -R FAIR-LB "$number" -p tcp -m statistic --mode random --probability "$probability" \
        -j DNAT --to-destination "$address:8080"
done
in_node -R FAIR-LB 5 -p tcp -j DNAT --to-destination "$web_5_ip:8080"
for number in 5 4 3 2 1; do
    eval "address=\$web_${number}_ip"
    in_node -I FAIR-LB -s "$address" -j RETURN
done
