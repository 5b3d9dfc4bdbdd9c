#!/bin/sh
# Only where the pods of the Service run.
set -e
sh -eu "$here/solve/iptables.sh"
ip netns exec "$bare" iptables -t nat -F
