#!/bin/sh
# Set every flag that a bridge has.
ip -n "$node" link set cbr0 promisc on
for port in $(ip -n "$node" -o link show master cbr0 | awk '{ sub("@.*", "", $2); print $2 }'); do
    ip netns exec "$node" bridge link set dev "$port" hairpin on flood on learning on
done
