#!/bin/sh
# Flush the table raw.
ip netns exec "$node" iptables -t raw -F
