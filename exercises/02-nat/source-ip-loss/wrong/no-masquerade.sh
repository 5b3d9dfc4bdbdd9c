#!/bin/sh
# Do without masquerading.
ip netns exec "$node" iptables -t nat -F EGRESS
