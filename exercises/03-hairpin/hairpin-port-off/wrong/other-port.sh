#!/bin/sh
# Set it on another pod's port.
case $node in
node-1) port=$client_a_veth ;;
*) port=$client_b_veth ;;
esac
ip netns exec "$node" bridge link set dev "$port" hairpin on
