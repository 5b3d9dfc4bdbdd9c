#!/bin/sh
# What needs no translation and is plenty is not tracked: backups.
for hook in PREROUTING OUTPUT; do
    ip netns exec "$node" iptables -t raw -A "$hook" -p tcp --dport 9102 -j NOTRACK
    ip netns exec "$node" iptables -t raw -A "$hook" -p tcp --sport 9102 -j NOTRACK
done
