#!/bin/sh
# Delete the agent's rule.
ip netns exec "$node" iptables -t mangle -F FORWARD
