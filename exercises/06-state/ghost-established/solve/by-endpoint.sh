#!/bin/sh
# Delete every TCP entry that leads from the Service to the pod that left it.
ip netns exec "$node" conntrack -D -p tcp --orig-dst "$svc_prices_ip" --reply-src "$old_ip"
