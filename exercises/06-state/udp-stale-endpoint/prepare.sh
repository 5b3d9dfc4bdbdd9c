#!/bin/sh
# A host port, as the CNI plugin portmap makes it: first for one collector, with an upload begun, then for another.
in_node() { ip netns exec "$node" iptables -t nat "$@"; }
in_node -N CNI-HOSTPORT-DNAT
in_node -A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT
in_node -A CNI-HOSTPORT-DNAT -p udp --dport 8125 -j DNAT --to-destination "$old_ip:5353"
hairpin lab.curl client "$node:8125" --udp --local-port 40126 > /dev/null
in_node -R CNI-HOSTPORT-DNAT 1 -p udp --dport 8125 -j DNAT --to-destination "$now_ip:5353"
