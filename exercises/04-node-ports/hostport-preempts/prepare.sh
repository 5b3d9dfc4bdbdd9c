#!/bin/sh
# Host ports as the CNI plugin portmap makes them, in front of kube-proxy's rules.
in_node() { ip netns exec "$node" iptables -t nat "$@"; }
in_node -N CNI-HOSTPORT-DNAT
in_node -A CNI-HOSTPORT-DNAT -p tcp --dport 9100 -m comment --comment "$metrics" \
    -j DNAT --to-destination "$metrics_ip:9999"
in_node -I PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT
