#!/bin/sh
# Accept with the new kind.
ip netns exec "$node" iptables -P FORWARD ACCEPT
ip netns exec "$node" iptables -I FORWARD -j ACCEPT
