#!/bin/sh
# It went so well with backups that the web was next.
ip netns exec "$node" iptables -t raw -A PREROUTING -i cbr0 -p tcp --dport 80 -j NOTRACK
