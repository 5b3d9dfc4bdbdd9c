#!/bin/sh
# Let the port send back what came in by it.
ip netns exec "$node" bridge link set dev "$pod_veth" hairpin on
