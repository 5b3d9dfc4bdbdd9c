#!/bin/sh
# Tell the router, which lets nothing through to such addresses.
range=$(ip -n "$other" -4 route show dev cbr0 proto kernel | cut -d ' ' -f 1)
ip -n router route add "$range" via "$other_ip"
