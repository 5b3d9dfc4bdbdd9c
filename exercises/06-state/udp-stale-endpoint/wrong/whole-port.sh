#!/bin/sh
# Delete all entries of the port.
ip netns exec "$node" conntrack -D -p udp --orig-port-dst 8125
