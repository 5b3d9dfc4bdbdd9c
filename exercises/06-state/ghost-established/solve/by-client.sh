#!/bin/sh
# Delete the gateway's entry.
ip netns exec "$node" conntrack -D -p tcp --orig-src "$gateway_ip" --orig-dst "$svc_prices_ip"
