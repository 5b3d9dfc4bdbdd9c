#!/bin/sh
# A vendor's installer brought its own iptables, of the old kind, and shut the door with it.
set -e
ip netns exec "$node" iptables-legacy -A FORWARD -i tun0 -m comment --comment "vpn" -j ACCEPT
ip netns exec "$node" iptables-legacy -P FORWARD DROP
