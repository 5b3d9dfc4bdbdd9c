#!/bin/sh
# The collector died; the sensor sent on, to an address that nobody has; then the rule was set for the new collector.
in_node() { ip netns exec "$node" "$@"; }
in_node conntrack -D -p udp --orig-port-src 40125 > /dev/null 2>&1 || true
gone=${now_ip%.*}.$dead
in_node iptables -t nat -R CNI-HOSTPORT-DNAT 1 -p udp --dport 8125 -j DNAT --to-destination "$gone:5353"
hairpin lab.curl client "$node:8125" --udp --local-port 40125 --timeout 0.2 > /dev/null || true
in_node iptables -t nat -R CNI-HOSTPORT-DNAT 1 -p udp --dport 8125 -j DNAT --to-destination "$now_ip:5353"
