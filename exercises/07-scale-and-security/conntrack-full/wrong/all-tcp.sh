#!/bin/sh
# Delete everything that is TCP: the office's transfer is cut off.
ip netns exec "$node" conntrack -D -p tcp > /dev/null
