#!/bin/sh
# Let the plugin see what comes by eth0 for its own port: the node's own pods have lost it.
ip netns exec "$node" iptables -t nat -R PREROUTING 1 -i eth0 -p tcp --dport 9100 -m addrtype --dst-type LOCAL \
    -j CNI-HOSTPORT-DNAT
