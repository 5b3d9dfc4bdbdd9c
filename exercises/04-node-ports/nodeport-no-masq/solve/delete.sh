#!/bin/sh
# Delete the rule.
ip netns exec "$node" iptables -t nat -D POSTROUTING 1
