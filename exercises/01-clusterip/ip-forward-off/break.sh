#!/bin/sh
# A sysctl file that came with an update says that this machine is no router.
ip netns exec "$node" sysctl -qw net.ipv4.ip_forward=0
