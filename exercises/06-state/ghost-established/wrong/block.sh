#!/bin/sh
# Let nobody through to the pod that was taken out.
ip netns exec "$node" iptables -I FORWARD -d "$old_ip" -j DROP
