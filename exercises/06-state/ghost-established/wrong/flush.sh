#!/bin/sh
# Flush the table: the export is cut off.
ip netns exec "$node" conntrack -F
