#!/bin/sh
# Each node's port leads to the pods that run there: nothing has to be masqueraded then.
set -e
to() {
    node=$1
    shift
    ip netns exec "$node" iptables -t nat -A SERVICES -p tcp --dport "$node_port" -m addrtype --dst-type LOCAL "$@"
}
to "$home" -m statistic --mode random --probability 0.5 -j SEP-web-1
to "$home" -j SEP-web-3
to "$other" -j SEP-web-2
