#!/bin/sh
# Flush the table: the upload is cut off.
ip netns exec "$node" conntrack -F
