#!/bin/sh
# Accept what is untracked.
ip netns exec "$node" iptables -I FORWARD -m conntrack --ctstate UNTRACKED -j ACCEPT
