#!/bin/sh
# Delete the rule for the Service's port.
ip netns exec "$node" iptables -t raw -D PREROUTING -i cbr0 -p tcp --dport 80 -j NOTRACK
