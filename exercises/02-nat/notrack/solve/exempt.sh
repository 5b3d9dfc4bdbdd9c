#!/bin/sh
# Exempt the Service range.
ip netns exec "$node" iptables -t raw -I PREROUTING -d "$service_cidr" -j ACCEPT
