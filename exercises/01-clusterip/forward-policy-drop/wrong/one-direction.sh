#!/bin/sh
# Accept what the pods of this node begin, and nothing that is begun elsewhere.
ip netns exec "$node" iptables -A FORWARD -i cbr0 -j ACCEPT
