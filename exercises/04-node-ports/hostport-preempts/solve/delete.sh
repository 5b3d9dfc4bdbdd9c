#!/bin/sh
# Delete the rule for the node port.
ip netns exec "$node" iptables -t nat -D CNI-HOSTPORT-DNAT 2
