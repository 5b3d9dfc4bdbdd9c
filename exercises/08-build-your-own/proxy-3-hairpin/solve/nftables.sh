#!/bin/sh
# One rule for nft: a set of the pairs of addresses, as kube-proxy has it in nftables mode.
set -e
for node in node-1 node-2 node-3; do
    ip netns exec "$node" nft -f - <<RULES
table ip hairpin {
    set endpoints {
        type ipv4_addr . ipv4_addr
        elements = { $web_1_ip . $web_1_ip, $web_2_ip . $web_2_ip, $web_3_ip . $web_3_ip }
    }
    chain postrouting {
        type nat hook postrouting priority srcnat; policy accept;
        ip saddr . ip daddr @endpoints masquerade
    }
}
RULES
done
