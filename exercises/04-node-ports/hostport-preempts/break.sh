#!/bin/sh
# The metrics pod's manifest was given a second host port, a number that the Service has as its node port.
ip netns exec "$node" iptables -t nat -A CNI-HOSTPORT-DNAT -p tcp --dport 30080 -m comment --comment "$metrics" \
    -j DNAT --to-destination "$metrics_ip:9999"
