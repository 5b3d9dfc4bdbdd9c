#!/bin/sh
# Let the nodes tell senders which size would do.
for one in node-1 node-2; do
    ip netns exec "$one" iptables -D OUTPUT 1
done
