#!/bin/sh
# Give every pod what fits into the tunnel.
for pod in web-1 web-2 client-a client-b; do
    ip -n "$pod" link set eth0 mtu 1450
done
