#!/bin/sh
# A table of its own for nft, beside the ClusterIP's rules.
set -e
for node in node-1 node-2 node-3; do
    ip netns exec "$node" nft -f - <<RULES
table ip node-ports {
    chain web {
        fib daddr type local tcp dport $node_port meta mark set meta mark | 0x4000 \
            dnat to numgen random mod 3 map { 0 : $web_1_ip, 1 : $web_2_ip, 2 : $web_3_ip } : $server_port
    }
    chain prerouting {
        type nat hook prerouting priority dstnat; policy accept;
        jump web
    }
    chain output {
        type nat hook output priority -100; policy accept;
        jump web
    }
    chain postrouting {
        type nat hook postrouting priority srcnat; policy accept;
        meta mark & 0x4000 == 0x4000 masquerade
    }
}
RULES
done
