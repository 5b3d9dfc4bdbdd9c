#!/bin/sh
# For nft, in front of the rules that are there: a set for each endpoint, whose elements are forgotten in time.
set -e
for node in node-1 node-2 node-3; do
    ip netns exec "$node" nft -f - <<RULES
table ip affinity {
    set web-1 { type ipv4_addr; size 65535; flags dynamic, timeout; timeout ${timeout}s; }
    set web-2 { type ipv4_addr; size 65535; flags dynamic, timeout; timeout ${timeout}s; }
    set web-3 { type ipv4_addr; size 65535; flags dynamic, timeout; timeout ${timeout}s; }
    chain endpoint-1 {
        update @web-1 { ip saddr }
        ip saddr $web_1_ip meta mark set meta mark | 0x4000
        meta l4proto tcp dnat to $web_1_ip:$server_port
    }
    chain endpoint-2 {
        update @web-2 { ip saddr }
        ip saddr $web_2_ip meta mark set meta mark | 0x4000
        meta l4proto tcp dnat to $web_2_ip:$server_port
    }
    chain endpoint-3 {
        update @web-3 { ip saddr }
        ip saddr $web_3_ip meta mark set meta mark | 0x4000
        meta l4proto tcp dnat to $web_3_ip:$server_port
    }
    chain web {
        ip saddr @web-1 goto endpoint-1
        ip saddr @web-2 goto endpoint-2
        ip saddr @web-3 goto endpoint-3
        numgen random mod 3 vmap { 0 : goto endpoint-1, 1 : goto endpoint-2, 2 : goto endpoint-3 }
    }
    chain services {
        ip daddr $svc_web_ip tcp dport 80 goto web
        fib daddr type local tcp dport $node_port meta mark set meta mark | 0x4000 goto web
    }
    chain prerouting {
        type nat hook prerouting priority -101; policy accept;
        jump services
    }
    chain output {
        type nat hook output priority -101; policy accept;
        jump services
    }
}
RULES
done
