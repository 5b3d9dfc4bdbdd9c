#!/bin/sh
# A load balancer of somebody's own making, in front of kube-proxy's: "one fifth each".
in_node() { ip netns exec "$node" iptables -t nat "$@"; }
in_node -N FAIR-LB
for pod in $order; do
    eval "address=\$${pod}_ip"
    chance="-m statistic --mode random --probability 0.2"
    test "$pod" != "${order##* }" || chance=
    # shellcheck disable=SC2086 # several words, or none
    in_node -A FAIR-LB -p tcp $chance -j DNAT --to-destination "$address:8080"
done
in_node -I PREROUTING -d "$svc_web_ip" -p tcp --dport 80 -m comment --comment "fair shares for web" -j FAIR-LB
