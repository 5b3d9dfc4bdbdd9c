#!/bin/sh
# Delete all entries of the Service: the export is cut off.
ip netns exec "$node" conntrack -D -p tcp --orig-dst "$svc_prices_ip"
