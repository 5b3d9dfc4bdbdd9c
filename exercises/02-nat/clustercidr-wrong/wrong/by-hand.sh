#!/bin/sh
# Delete the rules that mark, by hand.
for one in node-1 node-2; do
    ip netns exec "$one" iptables-save -t nat | grep -v -- "! -s $old" | ip netns exec "$one" iptables-restore
done
