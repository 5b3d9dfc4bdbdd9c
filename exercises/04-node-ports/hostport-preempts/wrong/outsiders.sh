#!/bin/sh
# The same for whoever comes from outside, and not for the node's own pods.
ip netns exec "$node" iptables -t nat -I PREROUTING -i eth0 -p tcp --dport 30080 -j KUBE-SERVICES
