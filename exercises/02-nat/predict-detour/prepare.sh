#!/bin/sh
# An old route: what is for that one pod goes by the other node, which does not tell the router of the shorter way.
ip -n router route add "$pod_ip/32" via "$other_ip"
ip netns exec "$other" sysctl -qw net.ipv4.conf.all.send_redirects=0 net.ipv4.conf.eth0.send_redirects=0
