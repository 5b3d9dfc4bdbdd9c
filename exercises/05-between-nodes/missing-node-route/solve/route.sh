#!/bin/sh
# The route back in.
range=$(ip -n "$other" -4 route show dev cbr0 proto kernel | cut -d ' ' -f 1)
ip -n "$node" route add "$range" via "$other_ip"
