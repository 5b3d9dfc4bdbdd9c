#!/bin/sh
# Flush the host ports.
ip netns exec "$node" iptables -t nat -F CNI-HOSTPORT-DNAT
