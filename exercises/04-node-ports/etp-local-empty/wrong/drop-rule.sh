#!/bin/sh
# Delete kube-proxy's rule that drops.
ip netns exec "$node" iptables -F KUBE-EXTERNAL-SERVICES
