#!/bin/sh
# Write the rule once more.
ip netns exec "$node" iptables -t nat -F CNI-HOSTPORT-DNAT
ip netns exec "$node" iptables -t nat -A CNI-HOSTPORT-DNAT -p udp --dport 8125 -j DNAT --to-destination "$now_ip:5353"
