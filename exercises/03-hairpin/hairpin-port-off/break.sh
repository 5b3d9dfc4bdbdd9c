#!/bin/sh
# The pod's port was plugged in again by hand, without the flag that the network plugin sets.
ip netns exec "$node" bridge link set dev "$pod_veth" hairpin off
