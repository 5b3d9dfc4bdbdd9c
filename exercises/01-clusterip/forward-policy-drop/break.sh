#!/bin/sh
# Docker came with a monitoring package, and since version 1.13 sets this policy when it starts.
ip netns exec "$node" iptables -P FORWARD DROP
