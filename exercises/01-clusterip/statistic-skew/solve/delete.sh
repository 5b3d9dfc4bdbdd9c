#!/bin/sh
# Leave it to kube-proxy.
in_node() { ip netns exec "$node" iptables -t nat "$@"; }
in_node -D PREROUTING -d "$svc_web_ip" -p tcp --dport 80 -m comment --comment "fair shares for web" -j FAIR-LB
in_node -F FAIR-LB
in_node -X FAIR-LB
