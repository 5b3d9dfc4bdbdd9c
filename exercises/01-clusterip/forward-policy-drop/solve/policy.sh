#!/bin/sh
# Set the policy back.
ip netns exec "$node" iptables -P FORWARD ACCEPT
