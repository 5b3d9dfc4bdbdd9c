#!/bin/sh
# Set it on all pods' ports, as the network plugin does.
for port in $(ip -n "$node" -o link show master cbr0 | awk '{ sub("@.*", "", $2); print $2 }'); do
    ip netns exec "$node" bridge link set dev "$port" hairpin on
done
