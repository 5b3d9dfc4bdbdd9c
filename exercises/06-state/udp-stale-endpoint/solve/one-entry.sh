#!/bin/sh
# Delete the sensor's entry.
ip netns exec "$node" conntrack -D -p udp --orig-port-dst 8125 --orig-port-src 40125
