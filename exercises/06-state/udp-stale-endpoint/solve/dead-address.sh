#!/bin/sh
# Delete every entry that points to the collector that is gone.
ip netns exec "$node" conntrack -D -p udp --reply-src "${now_ip%.*}.$dead"
