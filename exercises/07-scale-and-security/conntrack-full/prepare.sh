#!/bin/sh
# A host port with an upload begun; the port has been closed for newcomers since. A transfer through the node's port.
in_node() { ip netns exec "$node" iptables -t nat "$@"; }
ip netns exec "$node" sysctl -qw net.netfilter.nf_conntrack_udp_timeout=3600 \
    net.netfilter.nf_conntrack_udp_timeout_stream=3600
in_node -A PREROUTING -p udp -m addrtype --dst-type LOCAL --dport 8125 -j DNAT --to-destination "$now_ip:5353"
hairpin lab.curl client "$node:8125" --udp --local-port 40126 > /dev/null
in_node -D PREROUTING -p udp -m addrtype --dst-type LOCAL --dport 8125 -j DNAT --to-destination "$now_ip:5353"
ip netns exec office setsid python3 "$here/../../06-state/relay.py" 8000 "$node_ip:30080" never > /dev/null 2>&1 &
until ip netns exec office curl -s -o /dev/null "http://127.0.0.1:8000/"; do sleep 0.05; done
