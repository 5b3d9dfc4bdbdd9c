#!/bin/sh
# Write the rule anew, for TCP: datagrams have the pods' addresses then.
in_node() { ip netns exec "$node" iptables -t nat "$@"; }
in_node -F POSTROUTING
in_node -A POSTROUTING -s "$pod_cidr" ! -d "$pod_cidr" -o eth0 -p tcp -j MASQUERADE --random-fully
