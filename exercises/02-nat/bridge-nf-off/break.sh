#!/bin/sh
# A hardening profile: "bridges shall not be filtered".
ip netns exec "$node" sysctl -qw net.bridge.bridge-nf-call-iptables=0 net.bridge.bridge-nf-call-ip6tables=0
