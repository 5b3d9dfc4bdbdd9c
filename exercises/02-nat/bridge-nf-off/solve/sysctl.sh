#!/bin/sh
# Show bridged packets to iptables again.
ip netns exec "$node" sysctl -qw net.bridge.bridge-nf-call-iptables=1
