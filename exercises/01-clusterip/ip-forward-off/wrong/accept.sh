#!/bin/sh
# Accept everything in FORWARD.
ip netns exec "$node" iptables -I FORWARD -j ACCEPT
