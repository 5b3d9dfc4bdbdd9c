#!/bin/sh
# Accept the port before anybody translates it.
ip netns exec "$node" iptables -t nat -I PREROUTING -p tcp --dport 30080 -j ACCEPT
