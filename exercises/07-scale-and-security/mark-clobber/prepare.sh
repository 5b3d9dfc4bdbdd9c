#!/bin/sh
# The QoS agent as it was: it sets its own bit.
for one in node-1 node-2; do
    ip netns exec "$one" iptables -t mangle -A FORWARD -m comment --comment "qos: forwarded" \
        -j MARK --set-xmark 0x20/0x20
done
