#!/bin/sh
# The office has a line of its own to one node, and uses it for that node's address. The node answers by its gateway.
set -e
ip link add lan1 netns "$node" type veth peer name lan1 netns client
ip -n "$node" address add 172.31.0.1/30 dev lan1
ip -n client address add 172.31.0.2/30 dev lan1
ip -n "$node" link set lan1 up
ip -n client link set lan1 up
ip -n client route add "$node_ip" via 172.31.0.1 src "$client_ip"
# The client asks for the node's MAC address as 172.31.0.2: a question from $client_ip the strict check would refuse, too.
ip netns exec client sysctl -qw net.ipv4.conf.lan1.arp_announce=2
# The data centre's router lets the office through to that node no more: there is the line now.
ip -n router rule add from "$client_ip" to "$node_ip" prohibit
