#!/bin/sh
# A hash of the client's address and port chooses, instead of dice.
set -e
for node in node-1 node-2 node-3; do
    ip netns exec "$node" nft -f - <<RULES
table ip affinity {
    chain web {
        ip daddr $svc_web_ip tcp dport 80 dnat to jhash ip saddr . tcp sport mod 3 map {
            0 : $web_1_ip, 1 : $web_2_ip, 2 : $web_3_ip } : $server_port
    }
    chain prerouting {
        type nat hook prerouting priority -101; policy accept;
        jump web
    }
    chain output {
        type nat hook output priority -101; policy accept;
        jump web
    }
}
RULES
done
