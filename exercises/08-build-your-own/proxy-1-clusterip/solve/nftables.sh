#!/bin/sh
# The same for nft: one number chooses one of three addresses.
set -e
for node in node-1 node-2 node-3; do
    ip netns exec "$node" nft -f - <<RULES
table ip services {
    chain web {
        ip daddr $svc_web_ip tcp dport 80 dnat to numgen random mod 3 map {
            0 : $web_1_ip, 1 : $web_2_ip, 2 : $web_3_ip } : $server_port
    }
    chain prerouting {
        type nat hook prerouting priority dstnat; policy accept;
        jump web
    }
    chain output {
        type nat hook output priority -100; policy accept;
        jump web
    }
    chain old {
        ip daddr $svc_old_ip tcp dport 80 reject with tcp reset
    }
    chain forward {
        type filter hook forward priority filter; policy accept;
        jump old
    }
    chain output-filter {
        type filter hook output priority filter; policy accept;
        jump old
    }
}
RULES
done
