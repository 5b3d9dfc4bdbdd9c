#!/bin/sh
# Delete what leaked.
ip netns exec "$node" conntrack -D -p tcp --orig-src "$leaker_ip" --orig-port-dst "$port" > /dev/null
