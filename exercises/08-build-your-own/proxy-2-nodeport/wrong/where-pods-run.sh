#!/bin/sh
# The right rules, but only on the nodes that have pods of the Service.
set -e
sh -eu "$here/solve/iptables.sh"
ip netns exec "$bare" iptables -t nat -F NODEPORTS
