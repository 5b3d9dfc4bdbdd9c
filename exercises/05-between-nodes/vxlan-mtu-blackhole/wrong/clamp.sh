#!/bin/sh
# Clamp TCP's segments, and forget the datagrams.
for one in node-1 node-2; do
    ip netns exec "$one" iptables -t mangle -A FORWARD -p tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss 1410
done
