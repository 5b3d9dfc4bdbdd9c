#!/bin/sh
# Flush the table.
ip netns exec "$node" conntrack -F
