#!/bin/sh
# Set the old kind's policy back.
ip netns exec "$node" iptables-legacy -P FORWARD ACCEPT
