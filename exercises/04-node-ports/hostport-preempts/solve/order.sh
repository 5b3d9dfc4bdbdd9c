#!/bin/sh
# Let kube-proxy have the first choice.
ip netns exec "$node" iptables -t nat -D PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT
ip netns exec "$node" iptables -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT
