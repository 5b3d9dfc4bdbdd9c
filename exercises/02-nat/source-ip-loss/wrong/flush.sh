#!/bin/sh
# Flush what is behind routing.
ip netns exec "$node" iptables -t nat -F POSTROUTING
